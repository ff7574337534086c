"""Large responses taken apart without decoding them say what protobuf says of the same bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace import codec
from headrace.calls import responses
from headrace.errors import HeadraceError, PredictionFailed, ServerError
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

BIG = b"\x89picture"
CODES = st.sampled_from([0, 10000, 10010, 11005, 21200, 25605, 30101])
STATUSES = st.builds(status_pb2.Status, code=CODES, description=st.sampled_from(["", "told"]))
DATA = st.builds(
    pb.Data,
    text=st.none() | st.builds(pb.Text, raw=st.sampled_from(["", "words"])),
    image=st.none() | st.builds(pb.Image, base64=st.sampled_from([b"", BIG]), url=st.sampled_from(["", "http://x"])),
    audio=st.none() | st.builds(pb.Audio, base64=st.sampled_from([b"", BIG])),
    embeddings=st.lists(st.builds(pb.Embedding, vector=st.lists(st.floats(width=32, allow_nan=False), max_size=4))),
)
OUTPUTS = st.builds(
    pb.Output,
    status=st.none() | STATUSES,
    input=st.none() | st.builds(pb.Input, id=st.sampled_from(["", "a", "ä"]), data=DATA),
    data=st.none() | DATA,
    prompt_tokens=st.sampled_from([0, 1, 2**31]),
)
RESPONSES = st.builds(
    rpc.MultiOutputResponse, status=st.none() | STATUSES, outputs=st.lists(OUTPUTS, min_size=1, max_size=4)
)


def seen(raw: bytes, monkeypatch: pytest.MonkeyPatch, least: int) -> object:
    """What the user sees of a response, decoded late from `least` bytes on."""
    monkeypatch.setattr(codec, "LATE", least)
    monkeypatch.setattr(codec, "LARGE", 0)  # as if each output was large
    try:
        found = responses.read(raw)
        if found.failure is not None or found.marker:
            return str(found.failure), found.marker
        return found.head, [shown(answer, found, raw) for answer in found.answers]
    except HeadraceError as error:
        return type(error)


def shown(answer: pb.Output | codec.Late | ServerError, found: responses.Envelope, raw: bytes) -> object:
    if isinstance(answer, ServerError):
        return str(answer), answer.input_id, answer.request_id
    p = Prediction(raw, [answer], status=found.head)
    vectors = [vector.tolist() for vector in p.embeddings]
    return responses.id_of(answer), p.image, p.audio, vectors, p[0].input_id, p.text, p.usage, p.status, p.outputs[0]


@given(RESPONSES, st.booleans())
def test_late_and_at_once_are_the_same(response: rpc.MultiOutputResponse, doubled: bool) -> None:
    raw = response.SerializeToString() * (2 if doubled else 1)  # protobuf merges messages that are joined
    with pytest.MonkeyPatch.context() as patch:
        assert seen(raw, patch, 0) == seen(raw, patch, 1 << 40)


@given(st.data(), DATA)
def test_parts_given_twice_are_merged(data: st.DataObject, first: pb.Data) -> None:
    output = pb.Output(data=first).SerializeToString() + pb.Output(data=data.draw(DATA)).SerializeToString()
    raw = b"\x0a\x03\x08\x90\x4e" + b"\x12" + codec._varint(len(output)) + output
    with pytest.MonkeyPatch.context() as patch:
        assert seen(raw, patch, 0) == seen(raw, patch, 1 << 40)


@given(st.binary(max_size=60), RESPONSES, st.integers(0, 40))
@example(b"\x0b", rpc.MultiOutputResponse(outputs=[pb.Output()]), 0)
def test_bytes_that_are_no_response_are_refused_or_read_like_protobuf(
    noise: bytes, response: rpc.MultiOutputResponse, cut: int
) -> None:
    raw = response.SerializeToString()
    raw = raw[: len(raw) - cut] + noise
    with pytest.MonkeyPatch.context() as patch:
        late = seen(raw, patch, 0)
        if late is not PredictionFailed:  # what is wrong deep inside is found when it is looked at
            assert late == seen(raw, patch, 1 << 40)


def test_a_vector_in_other_forms_is_decoded() -> None:
    unpacked = b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 2.5)
    chunks = b"\x0a\x04" + struct.pack("<f", 1.5) + b"\x0a\x04" + struct.pack("<f", 2.5)
    for vector in (unpacked, chunks):
        data = b"\x4a" + bytes([len(vector)]) + vector
        wire = b"\x32" + bytes([len(data)]) + data
        assert Prediction(b"", [codec.Late(memoryview(wire), status_pb2.Status(), "")]).embedding.tolist() == [1.5, 2.5]


def test_a_large_vector_is_a_view_of_the_bytes_received() -> None:
    vector = [float(number) for number in range(20_000)]
    output = pb.Output(data=pb.Data(embeddings=[pb.Embedding(vector=vector)]))
    raw = rpc.MultiOutputResponse(
        status=status_pb2.Status(code=status_pb2.SUCCESS), outputs=[output]
    ).SerializeToString()
    p = Prediction(raw, responses.read(raw).answers)  # type: ignore[arg-type]
    assert p.embedding.obj is raw
    assert p.embedding.tolist() == vector
    assert p.outputs[0] is p.outputs[0]  # decoded once
    pytest.importorskip("numpy")
    assert p.embedding_array().tolist() == vector
    assert not p.embedding_array().flags.owndata


def test_many_small_outputs_are_decoded_at_once() -> None:
    outputs = [pb.Output(data=pb.Data(text=pb.Text(raw="x" * 400))) for _ in range(100)]
    raw = rpc.MultiOutputResponse(
        status=status_pb2.Status(code=status_pb2.SUCCESS), outputs=outputs
    ).SerializeToString()
    assert len(raw) > codec.LATE
    assert all(isinstance(answer, pb.Output) for answer in responses.read(raw).answers)
