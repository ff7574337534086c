"""Pieces of a token stream: most are read without protobuf, and say exactly what protobuf says."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace import codec
from headrace.calls import responses
from headrace.errors import HeadraceError, PredictionFailed
from headrace.results import Prediction
from headrace.support.protobytes import varint
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

GOOD = status_pb2.Status(code=status_pb2.SUCCESS, description="Ok", req_id="r").SerializeToString()
OTHER = status_pb2.Status(code=status_pb2.SUCCESS, req_id="another").SerializeToString()
BAD = status_pb2.Status(code=status_pb2.FAILURE, description="no").SerializeToString()
MIXED = status_pb2.Status(code=status_pb2.MIXED_STATUS).SerializeToString()
LONG = status_pb2.Status(code=status_pb2.SUCCESS, details="x" * 200).SerializeToString()


def field(key: int, wire: bytes) -> bytes:
    return bytes((key,)) + varint(len(wire)) + wire


def text(raw: bytes) -> bytes:
    return field(0x6A, field(0x0A, raw))


def output(*fields: bytes) -> bytes:
    return field(0x12, b"".join(fields))


def piece(raw: bytes, head: bytes = b"", status: bytes = GOOD) -> bytes:
    return field(0x0A, status) + output(head, field(0x32, text(raw)))


SUCCEEDED = field(0x12, b"\x08\x90\x4e")
FAILED = field(0x12, status_pb2.Status(code=status_pb2.MODEL_PREDICTION_FAILED).SerializeToString())
NAMED = field(0x0A, b"an id") + SUCCEEDED + field(0x2A, field(0x0A, b"an input"))
VALUE = pb.Data(string_value="value").SerializeToString()

texts = st.sampled_from([b"", b"a", b"word ", "ü€".encode(), b"\0", b"x" * 90, b"x" * 300, b"\xff", b"\xed\xa0\x80"])
heads = st.sampled_from([b"", SUCCEEDED, FAILED, NAMED, field(0x32, VALUE), b"\xf8\x07\x00", b"\xfb\x07", b"\x0a"])
statuses = st.sampled_from([GOOD, OTHER, BAD, MIXED, LONG, b""])
datas = st.lists(
    st.one_of(texts.map(text), st.sampled_from([VALUE, b"\x6a\x81\x00\x00", b"\x6a\x00", b"\xf8\x07\x00"])), max_size=3
)
unusual = st.builds(
    lambda before, status, fields, after: (
        before + field(0x0A, status) + output(*(field(0x32, b"".join(data)) for data in fields)) + after
    ),
    st.sampled_from([b"", b"\xf8\x07\x00", piece(b"a")]),
    statuses,
    st.lists(datas, max_size=2),
    st.sampled_from([b"", b"\x12\x00", field(0x0A, OTHER), b"\x12\x05", b"\xff"]),
)
streams = st.lists(st.one_of(st.builds(piece, texts, heads, statuses), unusual), min_size=1, max_size=6)


def pieces_of(input_id: str) -> responses.Pieces:
    pieces = responses.Pieces()
    pieces.input_id = input_id
    return pieces


def by_protobuf(raw: bytes, position: int) -> Prediction | HeadraceError | None:
    """What a message says if nothing is known of its stream."""
    pieces = pieces_of("an input")
    pieces.received = position
    return outcome(pieces, raw)


def outcome(pieces: responses.Pieces, raw: bytes) -> Prediction | HeadraceError | None:
    try:
        return pieces.read(raw)
    except HeadraceError as error:
        return error


def checked(raw: bytes, expected: Prediction | HeadraceError | None, read: Prediction | HeadraceError | None) -> None:
    if not isinstance(expected, Prediction) or not isinstance(read, Prediction):
        without_protobufs_words = [str(one).partition(" with type")[0] for one in (read, expected)]
        assert without_protobufs_words[0] == without_protobufs_words[1]
        assert type(read) is type(expected)
        return
    outputs = rpc.MultiOutputResponse.FromString(raw).outputs
    if len(outputs) == 1:
        assert read.text == (outputs[0].data.text.raw or outputs[0].data.string_value)
        assert read[0].text == read.text
    assert (read.raw, read.input_id, len(read), bool(read)) == (raw, "an input", len(expected), True)
    assert read == expected
    assert read.status == expected.status
    assert read.outputs == expected.outputs
    assert pickle.loads(pickle.dumps(read)) == expected
    assert read[0] == expected[0]
    assert read.to_dict() == expected.to_dict()


@given(streams)
@example([piece(b"a"), piece(b"b"), piece(b"b") + field(0x0A, OTHER)])
@example([piece(b"a", SUCCEEDED), piece(b"a", FAILED), piece(b"b")[:-1], piece(b"c") + b"\x12\x00"])
@example([piece(b"a"), piece(b"\xff"), piece(b"a", status=BAD), piece(b"")])
@example([piece(b"a", field(0x32, VALUE)), piece(b"", field(0x32, VALUE))])
@example([piece(b"a", b"\x0a"), piece(b"b", b"\x0a")])
@example([field(0x0A, GOOD) + output(field(0x32, text(b"a") + text(b"b"))), piece(b"abc")])
def test_the_pieces_of_a_stream_say_what_protobuf_says(stream: list[bytes]) -> None:
    pieces = pieces_of("an input")
    for raw in stream:
        checked(raw, by_protobuf(raw, pieces.received), outcome(pieces, raw))


@pytest.mark.parametrize("head", [b"", SUCCEEDED, NAMED])
@pytest.mark.parametrize("status", [GOOD, OTHER])
def test_pieces_that_differ_in_their_text_alone_are_not_decoded(
    head: bytes, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = pieces_of("an input")
    first = pieces.read(piece(b"the first", head, status))
    monkeypatch.setattr(pieces, "_single_output", None)
    read = [pieces.read(piece(b"x" * size, head, status)) for size in range(60)]
    assert [one and one.text for one in read] == ["x" * size for size in range(60)]
    assert first is not None
    assert all(one is not None and one.status == first.status for one in read)


def test_another_layout_is_learned_where_the_stream_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = pieces_of("an input")
    for status in (GOOD, OTHER):
        pieces.read(piece(b"a", status=status))
    monkeypatch.setattr(pieces, "_single_output", None)
    last = pieces.read(piece(b"b", status=OTHER))
    assert last is not None
    assert (last.text, last.request_id) == ("b", "another")


def test_pieces_that_all_differ_are_not_learned_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, attempts = pieces_of("an input"), []
    monkeypatch.setattr(codec, "layout_of", lambda *args: attempts.append(args))
    for number in range(100):
        pieces.read(piece(b"a", field(0x0A, b"id %d" % number)))
    assert len(attempts) == responses.LAYOUT_ATTEMPTS


def test_a_message_with_several_outputs_is_a_piece_with_all_of_them() -> None:
    pieces = pieces_of("an input")
    pieces.read(piece(b"a"))
    several = pieces.read(piece(b"b") + output(field(0x32, text(b"c"))))
    pieces.read(piece(b"d"))
    assert several is not None
    assert ([one.text for one in several], several.position) == (["b", "c"], 1)
    assert (pieces.text, pieces.received) == ("abcd", 3)


def test_text_that_is_not_utf8_is_reported_as_by_protobuf() -> None:
    pieces = pieces_of("an input")
    pieces.read(piece(b"fine"))
    with pytest.raises(PredictionFailed, match="cannot be decoded"):
        pieces.read(piece(b"\xff\xff\xff\xff"))
