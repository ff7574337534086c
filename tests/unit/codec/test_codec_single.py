"""Small good answers with one output are read in fewer steps, and say the same as any others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace import codec
from headrace.errors import PredictionFailed
from headrace.support.protobytes import varint
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

pytestmark = pytest.mark.core

GOOD = status_pb2.Status(code=status_pb2.SUCCESS, description="Ok", req_id="r").SerializeToString()
OTHER = status_pb2.Status(code=status_pb2.SUCCESS, req_id="another").SerializeToString()
BAD = status_pb2.Status(code=status_pb2.FAILURE).SerializeToString()
LONG = status_pb2.Status(code=status_pb2.SUCCESS, details="x" * 200).SerializeToString()


def field(key: int, wire: bytes) -> bytes:
    return bytes((key,)) + varint(len(wire)) + wire


def output(text: str, code: int = 0) -> bytes:
    status = status_pb2.Status(code=code) if code else None  # type: ignore[arg-type]
    return pb.Output(status=status, data=pb.Data(text=pb.Text(raw=text))).SerializeToString()


parts = st.one_of(
    st.sampled_from([GOOD, OTHER, BAD, LONG, b""]).map(lambda wire: field(0x0A, wire)),
    st.builds(output, st.sampled_from(["", "a", "word ", "x" * 200]), st.sampled_from([0, 10000, 30101])).map(
        lambda wire: field(0x12, wire)
    ),
    st.sampled_from([b"\xf8\x07\x00", b"\x12\x05", b"\x12\x01\xff", b"\x0a", b"\xff"]),
)
messages = st.lists(parts, max_size=4).map(b"".join)
# The length of this status takes two bytes. Read as one byte, it ends early: at what looks like the output's key.
MISLEADING = status_pb2.Status(code=status_pb2.SUCCESS, req_id="x" * 140 + "\x12").SerializeToString()
USUAL = field(0x0A, GOOD) + field(0x12, output("a"))


def slowly(raw: bytes) -> tuple[bytes, bytes] | str | None:
    """What protobuf says of a message."""
    try:
        response = rpc.MultiOutputResponse.FromString(raw)
    except Exception:
        return "no message"
    good = response.status.code == 10000 and len(response.outputs) == 1
    if not good or response.outputs[0].status.code not in (0, 10000):
        return None
    return response.status.SerializeToString(), response.outputs[0].SerializeToString()


@given(st.lists(st.one_of(messages, st.just(USUAL)), min_size=1, max_size=8))
@example([USUAL, USUAL, field(0x0A, GOOD) + field(0x12, output("b")) + field(0x0A, OTHER)])
@example([USUAL, field(0x0A, GOOD) + field(0x12, output("b", 30101)), USUAL[:-1], USUAL + b"\x12\x00"])
@example([field(0x0A, GOOD) + field(0x12, output("a")) + field(0x0A, OTHER), USUAL])
@example([field(0x0A, MISLEADING) + field(0x12, output("x" * 11))] * 3)
def test_the_messages_of_a_stream_say_what_protobuf_says(stream: list[bytes]) -> None:
    outputs = codec.SingleOutputs()
    for raw in stream:
        expected = slowly(raw)
        for read in (codec.single_output, outputs.read):
            if expected == "no message":
                with pytest.raises(PredictionFailed, match="cannot be decoded"):
                    read(raw)
                continue
            single = read(raw)
            assert (single and (single[0].SerializeToString(), single[1].SerializeToString())) == expected


def test_a_status_that_all_messages_begin_with_is_decoded_once() -> None:
    outputs = codec.SingleOutputs()
    heads = [single[0] for single in map(outputs.read, [USUAL] * 3) if single]
    assert len(heads) == 3
    assert heads[1] is heads[2]
