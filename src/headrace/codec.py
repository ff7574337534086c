"""Between bytes and protocol messages: pure functions, and the only place of the client that knows the wire format.

A request is a template (model, parameters, routing), encoded once and cached, followed by its inputs: protobuf joins
concatenated messages. Inputs are written by hand as parts, so that a large payload is never copied on the way.
Source: the protobuf wire format (field key = number << 3 | wire type; strings and messages are length-prefixed).
"""

from __future__ import annotations

import array
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from headrace.errors import ConfigError, PredictionFailed
from headrace.protobytes import check_messages, fields_of
from headrace.transport.base import Buffer
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

M = TypeVar("M", bound=Message)

SERVICE = "/clarifai.api.V2/"
PREDICT = SERVICE + "PostModelOutputs"
GENERATE = SERVICE + "GenerateModelOutputs"
STREAM = SERVICE + "StreamModelOutputs"

LARGE = 4096  # bytes from which a payload is not copied to save a part
LAZY_BYTES = 32 * 1024  # bytes from which a response is decoded when it is looked at, not before
CACHED_JSON = 1024  # characters of parameters up to which an encoded template is kept
MAX_FIELDS = 10_000  # of one answer to a look-up, on its outermost level
_OTHER_FIELDS = 1024  # of a response beside its outputs, and of an output: some ten are known

_INPUTS_TAG = b"\x22"  # PostModelOutputsRequest.inputs = 4
_ID_TAG, _DATA_TAG = b"\x0a", b"\x12"  # Input.id = 1, Input.data = 2
_ONE_SHORT_FIELD = b"\x22%c%c\x0a%c%b\x12%c%c%b%c%c%b%c%c"  # the same tags, each with its length
# Data: image = 1, video = 2, text = 13, audio = 14. In Text: raw = 1, url = 2; in the others: url = 1, base64 = 2.
_TAGS = {
    (type_, form): (tag, b"\x0a" if (type_ == "text") == (form == "bytes") else b"\x12")
    for type_, tag in {"image": b"\x0a", "video": b"\x12", "text": b"\x6a", "audio": b"\x72"}.items()
    for form in ("bytes", "url")
}


def template(
    *,
    user_id: str,
    app_id: str,
    model_id: str,
    version_id: str,
    params: Mapping[str, Any] | None,
    output_config: Mapping[str, Any] | None,
    routing: Mapping[str, str] | None,
) -> bytes:
    """Encode all of a request but its inputs; cached by value.

    Raises:
        ConfigError: a parameter is not JSON, or the output config has an unknown field or a wrong type.
    """
    values = (
        _canonical(params, "inference_params"),
        _canonical(output_config, "output_config"),
        _canonical(routing, "routing"),
    )
    try:
        if params:
            refuse_inexact(params)
        short = sum(map(len, values)) <= CACHED_JSON  # long parameters, such as a chat's messages, differ in each call
        encode = _template if short else _template.__wrapped__
        return encode(user_id, app_id, model_id, version_id, *values)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # Lone surrogates, numbers beyond a double, ids that are no text.
        raise ConfigError(f"the arguments of the call cannot be sent: {error}") from None


@lru_cache(maxsize=256)
def _template(
    user_id: str, app_id: str, model_id: str, version_id: str, params: str, output_config: str, routing: str
) -> bytes:
    request = rpc.PostModelOutputsRequest(
        user_app_id=pb.UserAppIDSet(user_id=user_id, app_id=app_id), model_id=model_id, version_id=version_id
    )
    if params or output_config:
        info = request.model.model_version.output_info
        if version_id:
            request.model.model_version.id = version_id
        if params:
            info.params.update(json.loads(params))
        if output_config:
            _fill_output_config(info.output_config, json.loads(output_config))
    if routing:
        selector = json.loads(routing)
        if "deployment_id" in selector:
            request.runner_selector.deployment.id = selector["deployment_id"]
            request.runner_selector.deployment.user_id = selector.get("user_id", "")
        else:
            nodepool = request.runner_selector.nodepool
            nodepool.id = selector["nodepool_id"]
            nodepool.compute_cluster.id = selector["compute_cluster_id"]
            nodepool.compute_cluster.user_id = selector.get("user_id", "")
    return request.SerializeToString()


def _canonical(value: Mapping[str, Any] | None, name: str) -> str:
    if value is None or value == {}:
        return ""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} must be a dict with names as keys, not {type(value).__name__}")
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name} must hold JSON values only (no NaN, no infinity): {error}") from None


MAX_WHOLE = 2**53  # numbers in parameters travel as doubles


def refuse_inexact(value: object) -> None:
    """Check that the whole numbers in a JSON value arrive as they are.

    Raises:
        ValueError: one is over 2**53.
    """
    if isinstance(value, Mapping):
        for item in value.values():
            refuse_inexact(item)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_inexact(item)
    elif isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise ValueError("a whole number over 2**53 would arrive as another one: send it as a str")


def _fill_output_config(message: pb.OutputConfig, values: dict[str, Any]) -> None:
    selected = values.get("select_concepts")
    if isinstance(selected, list):  # the documents give names or {"id": ..., "name": ...}
        values["select_concepts"] = [{"name": item} if isinstance(item, str) else item for item in selected]
    known = [field.name for field in pb.OutputConfig.DESCRIPTOR.fields]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"output_config has no field {', '.join(unknown)}; its fields are {', '.join(known)}")
    from google.protobuf import json_format  # costs a quarter of all our import, and most calls need none of it

    try:
        json_format.ParseDict(values, message)
    except json_format.ParseError as error:
        raise ConfigError(f"output_config: {error}") from None


def encode_input(input_id: str, fields: Sequence[tuple[str, str, Buffer]]) -> list[Buffer]:
    """Encode one input as a request's field `inputs`, in parts; large payloads are parts of their own.

    Args:
        fields: (type, form, payload): type "image", "video", "text" or "audio", form "bytes" or "url" (UTF-8).
    """
    identity = input_id.encode()
    if len(fields) == 1 and 0 < len(identity) < 0x80:
        type_, form, payload = fields[0]
        length = payload.nbytes if isinstance(payload, memoryview) else len(payload)
        if 0x80 <= length < 0x3F00:  # every length below takes two bytes then, which makes it one step
            (tag, inner_tag), name = _TAGS[type_, form], len(identity)
            n, m, d, all_ = (
                length,
                length + 3,
                length + 6,
                length + 11 + name,
            )  # of the payload, and of each message around
            start = _ONE_SHORT_FIELD % (
                all_ & 0x7F | 0x80, all_ >> 7, name, identity, d & 0x7F | 0x80, d >> 7,
                tag, m & 0x7F | 0x80, m >> 7, inner_tag, n & 0x7F | 0x80, n >> 7,
            )  # fmt: skip
            return [start, payload]
    body: list[Buffer] = []
    size = 0
    for type_, form, payload in fields:
        tag, inner_tag = _TAGS[type_, form]
        length = payload.nbytes if isinstance(payload, memoryview) else len(payload)
        inner = inner_tag + _varint(length)
        head = tag + _varint(len(inner) + length) + inner
        body += (head, payload)
        size += len(head) + length
    start = _DATA_TAG + _varint(size)
    if identity:
        start = _ID_TAG + _varint(len(identity)) + identity + start
    start = _INPUTS_TAG + _varint(len(start) + size) + start
    return [b"".join((start, *body))] if size < LARGE else _merged([start, *body])


def before_payload(input_id: str, type_: str, size: int) -> bytes:
    """Encode what goes before a payload of `size` bytes that is an input's only part; see `encode_input`."""
    tag, inner_tag = _TAGS[type_, "bytes"]
    inner = inner_tag + _varint(size)
    data = tag + _varint(len(inner) + size) + inner
    identity = input_id.encode()
    start = _ID_TAG + _varint(len(identity)) + identity if identity else b""
    start += _DATA_TAG + _varint(len(data) + size) + data
    return _INPUTS_TAG + _varint(len(start) + size) + start


def encode_raw_input(message: bytes, input_id: str = "") -> list[Buffer]:
    """Encode an already serialised `Input`; an id given here overrides the message's own (the last one counts)."""
    suffix = b""
    if input_id:
        identity = input_id.encode()
        suffix = _ID_TAG + _varint(len(identity)) + identity
    return _merged([_INPUTS_TAG + _varint(len(message) + len(suffix)), message, suffix])


def size_of(parts: Sequence[Buffer]) -> int:
    """Count the bytes of a message in parts."""
    return sum(map(_length, parts))


def _length(part: Buffer) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _merged(parts: list[Buffer]) -> list[Buffer]:
    """Join what is small; what is large stays as it is."""
    if all(_length(part) < LARGE for part in parts):
        return [b"".join(parts)]
    return [part for part in parts if _length(part)]


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_BYTE = [bytes((value,)) for value in range(0x80)]


def decode(raw: bytes) -> rpc.MultiOutputResponse:
    """Decode a prediction response.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    try:
        return rpc.MultiOutputResponse.FromString(raw)
    except DecodeError:
        return decode_as(rpc.MultiOutputResponse, raw)


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
    """An output that is still bytes: its status and its input's id are known, the rest is decoded when asked for."""

    __slots__ = ("_message", "input_id", "status", "wire")

    def __init__(self, wire: memoryview, status: status_pb2.Status, input_id: str) -> None:
        self.wire = wire
        self.status = status
        self.input_id = input_id
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


class TooManyFields(Exception):
    """A message has more fields than it may have; they are not counted to the end."""


def lazy(raw: bytes, max_outputs: int) -> tuple[status_pb2.Status, Sequence[LazyOutput | pb.Output]]:
    """Take a large response apart: its status and its outputs, decoded now only where many and small.

    The outputs are counted first: a few bytes of each become hundreds of an object's.

    Raises:
        PredictionFailed: the bytes are not a response.
        TooManyFields: it has more outputs than `max_outputs`.
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
                raise TooManyFields
        if len(raw) < LARGE * len(outputs):
            check_messages(raw, rpc.MultiOutputResponse)
            response = decode(raw)
            return response.status, response.outputs
        if len(outputs) > 1:  # each is kept by itself, and must not keep the others
            outputs = [memoryview(bytes(output)) for output in outputs]
        return head, [_lazy(output) for output in outputs]
    except (DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(raw, error) from None


def _lazy(wire: memoryview) -> LazyOutput:
    status, input_id = status_pb2.Status(), ""
    for count, (key, part) in enumerate(fields_of(wire)):
        if count == _OTHER_FIELDS:
            raise TooManyFields
        if key == _OUTPUT_STATUS_KEY:
            status.MergeFromString(bytes(part))
        elif key == _OUTPUT_INPUT_KEY:
            for inner_key, inner in fields_of(part):
                if inner_key == _INPUT_ID_KEY:
                    input_id = str(inner, "utf-8")
    return LazyOutput(wire, status, input_id)


def output_in(wire: bytes) -> pb.Output | LazyOutput:
    """Read an output's bytes: a large one is decoded when it is looked at.

    Raises:
        PredictionFailed: they are no output.
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
    """Count the outputs of a response without decoding them; None where that takes decoding, or it is none."""
    try:
        return sum(key == _OUTPUTS_KEY for key, _ in fields_of(memoryview(raw)))
    except DecodeError:
        return None


def response_of(status: status_pb2.Status, outputs: Iterable[bytes]) -> bytes:
    """Write a response of a status and outputs that are bytes already."""
    parts = [(_STATUS_KEY, status.SerializeToString()), *((_OUTPUTS_KEY, output) for output in outputs)]
    return b"".join(bytes((key,)) + _varint(len(part)) + part for key, part in parts)


_STATUS_KEY, _OUTPUTS_KEY = 0x0A, 0x12  # MultiOutputResponse: status = 1, outputs = 2
_OUTPUT_STATUS_KEY, _OUTPUT_INPUT_KEY, _OUTPUT_DATA_KEY = 0x12, 0x2A, 0x32  # Output: status = 2, input = 5, data = 6
_INPUT_ID_KEY = 0x0A
_EMBEDDINGS_KEY, _VECTOR_KEY = 0x4A, 0x0A  # Data.embeddings = 9; Embedding.vector = 1, packed
_MEDIA_KEYS = {"image": 0x0A, "audio": 0x72}  # Data: image = 1, audio = 14
_BASE64_KEY = 0x12  # of both


def media_of(wire: memoryview, type_: str) -> memoryview | None:
    """Find an output's encoded picture ("image") or sound ("audio") in its bytes, without copying it.

    None where there is none, or where it takes decoding to tell: parts given twice, which protobuf merges.
    """
    part: memoryview | None = wire
    for key in (_OUTPUT_DATA_KEY, _MEDIA_KEYS[type_], _BASE64_KEY):
        part = _only(part, key)
        if part is None:
            return None
    return part


def vectors_in(wire: memoryview) -> list[memoryview[float]] | None:
    """Find an output's vectors in its bytes, each a view of 32-bit floats; None where it takes decoding to tell."""
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
    """Give an embedding's 32-bit floats as one piece of memory, without making a Python float of each.

    A packed field is its numbers as they lie in memory (little-endian); it comes first in the message.
    """
    payload = 4 * len(embedding.vector)
    start = 1 + len(_varint(payload)) if payload else 0
    vector = array.array("f")
    vector.frombytes(memoryview(embedding.SerializeToString(deterministic=True))[start : start + payload])
    if sys.byteorder == "big":
        vector.byteswap()
    return memoryview(vector)


def _only(wire: memoryview | None, key: int) -> memoryview | None:
    """Find the one field with this key; None where there is none, several, or another form of the same field."""
    same = [(other, part) for other, part in fields_of(wire or memoryview(b"")) if other >> 3 == key >> 3]
    return same[0][1] if len(same) == 1 and same[0][0] == key else None
