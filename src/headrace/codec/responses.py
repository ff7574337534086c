"""Responses: bytes -> messages; large ones are decoded lazily. Nothing in them is trusted."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from headrace.codec.requests import SEPARATE_BYTES
from headrace.errors import PredictionFailed
from headrace.support.protobytes import check_messages, fields_of, varint
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

M = TypeVar("M", bound=Message)

_parse = rpc.MultiOutputResponse.FromString  # looked up once, as each call needs it

LAZY_BYTES = 32 * 1024  # bytes from which a response is decoded lazily
MAX_FIELDS = 10_000  # of one answer to a look-up, on its outermost level
_OTHER_FIELDS = 1024  # of a response beside its outputs, and of an output: some ten are known


def decode(raw: bytes) -> rpc.MultiOutputResponse:
    """Decode a prediction response.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    try:
        return _parse(raw)
    except DecodeError:
        return decode_as(rpc.MultiOutputResponse, raw)


def single_output(raw: bytes) -> tuple[status_pb2.Status, pb.Output] | None:
    """Return status and output of a small, good response with one output (the usual case); otherwise None.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    if len(raw) >= LAZY_BYTES:
        return None
    try:
        response = _parse(raw)
    except DecodeError as error:
        raise _undecodable(raw, error) from None
    head, outputs = response.status, response.outputs
    if head.code == _SUCCESS and len(outputs) == 1 and (output := outputs[0]).status.code in _UNTROUBLED:
        return head, output
    return None


class SingleOutputs:
    """As `single_output`, for the messages of one stream: their common status is decoded once."""

    __slots__ = ("_head", "_start")

    def __init__(self) -> None:
        self._start = b"\0"  # status and output key of the last message; no message begins like this
        self._head = status_pb2.Status()

    def read(self, raw: bytes) -> tuple[status_pb2.Status, pb.Output] | None:
        """Return status and output of a small, good response with one output; otherwise None.

        Raises:
            PredictionFailed: the bytes are not a response.
        """
        start = self._start
        if raw.startswith(start) and _holds_one_field(raw, len(start)):
            try:
                output = pb.Output.FromString(raw[len(start) + 1 :])
            except DecodeError as error:
                raise _undecodable(raw, error) from None
            if output.status.code in _UNTROUBLED:
                return self._head, output
        single = single_output(raw)
        if single is not None and len(raw) > 2 and raw[0] == _STATUS_KEY and raw[1] < 0x80:
            end = 2 + raw[1]  # of the status
            if raw[end : end + 1] == _OUTPUTS_TAG and _holds_one_field(raw, end + 1):
                self._start, self._head = raw[: end + 1], single[0]
        return single


def _holds_one_field(raw: bytes, at: int) -> bool:
    """Whether the length at this place is short and covers the whole remainder."""
    return at < len(raw) and raw[at] < 0x80 and at + 1 + raw[at] == len(raw)


def decode_as(cls: type[M], raw: bytes) -> M:
    """Decode a message of type `cls`.

    Raises:
        PredictionFailed: the bytes are not such a message.
    """
    try:
        if len(raw) >= LAZY_BYTES and any(islice(fields_of(memoryview(raw)), MAX_FIELDS, None)):
            raise DecodeError(f"it has more than {MAX_FIELDS:,} fields")
        check_messages(raw, cls)
        return cls.FromString(raw)
    except DecodeError as error:
        raise _undecodable(raw, error) from None


def _undecodable(raw: bytes, error: Exception) -> PredictionFailed:
    return PredictionFailed(f"the server's answer cannot be decoded ({len(raw)} bytes): {error}")


class LazyOutput:
    """An output that is still bytes: its status and its input's id are known, the rest is decoded on demand."""

    __slots__ = ("_message", "input_id", "status", "wire")

    def __init__(self, wire: memoryview, status: status_pb2.Status, input_id: str) -> None:
        self.wire: memoryview = wire
        self.status: status_pb2.Status = status
        self.input_id: str = input_id
        self._message: pb.Output | None = None

    @property
    def message(self) -> pb.Output:
        """The output, decoded once.

        Raises:
            PredictionFailed: the bytes are not an output.
        """
        if self._message is None:
            self._message = decode_as(pb.Output, bytes(self.wire))
        return self._message

    @property
    def data(self) -> pb.Data:
        """Its data; see `message`."""
        return self.message.data


class TooManyOutputs(Exception):
    """A response has more outputs, or other fields, than allowed; they are not counted to the end."""


def lazy(
    raw: bytes, max_outputs: int, inputs: int | None = None
) -> tuple[status_pb2.Status, Sequence[LazyOutput | pb.Output]]:
    """Split a large response into status and outputs; many small outputs are decoded now, others later.

    The outputs are counted first, because a few bytes become an object of hundreds.

    Args:
        inputs: how many inputs it answers, if that is known.

    Raises:
        PredictionFailed: the bytes are not a response.
        TooManyOutputs: it has more outputs than `max_outputs`.
    """
    try:
        head, others = status_pb2.Status(), 0
        outputs: list[memoryview] = []
        for key, part in fields_of(memoryview(raw)):
            if key == _OUTPUTS_KEY:
                outputs.append(part)
            else:
                others += 1
                if key == _STATUS_KEY:
                    head.MergeFromString(bytes(part))
            if len(outputs) > max_outputs or others > _OTHER_FIELDS:
                raise TooManyOutputs
        if len(raw) < SEPARATE_BYTES * len(outputs):
            check_messages(raw, rpc.MultiOutputResponse)
            response = decode(raw)
            return response.status, response.outputs
        if inputs == 1 and len(outputs) > 1:  # they are one prediction's, which decodes them together
            check_messages(raw, rpc.MultiOutputResponse)
        if len(outputs) > 1:  # copied: one that is kept must not keep the others in memory
            outputs = [memoryview(bytes(output)) for output in outputs]
        return head, [_lazy(output) for output in outputs]
    except (DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(raw, error) from None


def _lazy(wire: memoryview) -> LazyOutput:
    status, input_id = status_pb2.Status(), ""
    for count, (key, part) in enumerate(fields_of(wire)):
        if count == _OTHER_FIELDS:
            raise TooManyOutputs
        if key == _OUTPUT_STATUS_KEY:
            status.MergeFromString(bytes(part))
        elif key == _OUTPUT_INPUT_KEY:
            for inner_key, inner in fields_of(part):
                if inner_key == _INPUT_ID_KEY:
                    input_id = str(inner, "utf-8")
    return LazyOutput(wire, status, input_id)


def output_in(wire: bytes) -> pb.Output | LazyOutput:
    """Read an output's bytes; a large one is decoded lazily.

    Raises:
        PredictionFailed: they are not an output.
    """
    try:
        return _lazy(memoryview(wire)) if len(wire) >= LAZY_BYTES else decode_as(pb.Output, wire)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(wire, error) from None


def outputs_in(raw: bytes) -> Sequence[pb.Output | LazyOutput]:
    """Read a response's outputs, the large ones lazily.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    return lazy(raw, len(raw))[1] if len(raw) >= LAZY_BYTES else decode(raw).outputs


def count_outputs(raw: bytes) -> int | None:
    """Count the outputs of a response without decoding them; None if that is impossible, or it is not a response."""
    try:
        return sum(key == _OUTPUTS_KEY for key, _ in fields_of(memoryview(raw)))
    except DecodeError:
        return None


def response_of(status: status_pb2.Status, outputs: Iterable[bytes]) -> bytes:
    """Encode a response from a status and encoded outputs."""
    parts = [(_STATUS_KEY, status.SerializeToString()), *((_OUTPUTS_KEY, output) for output in outputs)]
    return b"".join(bytes((key,)) + varint(len(part)) + part for key, part in parts)


_STATUS_KEY, _OUTPUTS_KEY = 0x0A, 0x12  # MultiOutputResponse: status = 1, outputs = 2
_OUTPUTS_TAG = bytes((_OUTPUTS_KEY,))
_SUCCESS = status_pb2.SUCCESS
_UNTROUBLED = (0, _SUCCESS)  # of an output: it has no status of its own, or a good one
_OUTPUT_STATUS_KEY, _OUTPUT_INPUT_KEY, _OUTPUT_DATA_KEY = 0x12, 0x2A, 0x32  # Output: status = 2, input = 5, data = 6
_INPUT_ID_KEY = 0x0A
_EMBEDDINGS_KEY, _VECTOR_KEY = 0x4A, 0x0A  # Data.embeddings = 9; Embedding.vector = 1, packed
_MEDIA_KEYS = {"image": 0x0A, "audio": 0x72}  # Data: image = 1, audio = 14
_BASE64_KEY = 0x12  # of both


def media_of(wire: memoryview, type_: str) -> memoryview | None:
    """Find an output's encoded picture ("image") or sound ("audio") in its bytes, without copying it.

    None if there is none, or if finding out takes decoding: parts given twice, which protobuf merges.
    """
    part: memoryview | None = wire
    for key in (_OUTPUT_DATA_KEY, _MEDIA_KEYS[type_], _BASE64_KEY):
        part = _only(part, key)
        if part is None:
            return None
    return part


def vectors_in(wire: memoryview) -> list[memoryview[float]] | None:
    """Find an output's vectors in its bytes, each a view of 32-bit floats; None if finding out takes decoding."""
    data = _only(wire, _OUTPUT_DATA_KEY)
    if data is None or sys.byteorder == "big":
        return None
    vectors: list[memoryview[float]] = []
    for key, embedding in fields_of(data):
        if key == _EMBEDDINGS_KEY:
            vector = _only(embedding, _VECTOR_KEY)
            if vector is None or len(vector) % 4:
                return None
            vectors.append(vector.cast("f"))
    return vectors


def vector_of(embedding: pb.Embedding) -> memoryview[float]:
    """Return an embedding's 32-bit floats as one buffer, without making Python floats.

    A packed field holds the numbers in memory layout (little-endian); it comes first in the message.
    """
    payload = 4 * len(embedding.vector)
    start = 1 + len(varint(payload)) if payload else 0
    vector = array.array("f")
    vector.frombytes(memoryview(embedding.SerializeToString(deterministic=True))[start : start + payload])
    if sys.byteorder == "big":
        vector.byteswap()
    return memoryview(vector)


def _only(wire: memoryview | None, key: int) -> memoryview | None:
    """Find the one field with this key; None if there is none, several, or another form of the same field."""
    same = [(other, part) for other, part in fields_of(wire or memoryview(b"")) if other >> 3 == key >> 3]
    return same[0][1] if len(same) == 1 and same[0][0] == key else None
