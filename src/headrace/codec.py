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
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from headrace.errors import ConfigError, PredictionFailed
from headrace.transport.base import Buffer
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

M = TypeVar("M", bound=Message)

SERVICE = "/clarifai.api.V2/"
PREDICT = SERVICE + "PostModelOutputs"
GENERATE = SERVICE + "GenerateModelOutputs"
STREAM = SERVICE + "StreamModelOutputs"

LARGE = 4096  # bytes from which a payload is not copied to save a part

_INPUTS_TAG = b"\x22"  # PostModelOutputsRequest.inputs = 4
_ID_TAG, _DATA_TAG = b"\x0a", b"\x12"  # Input.id = 1, Input.data = 2
_FIELD_TAGS = {"image": b"\x0a", "video": b"\x12", "text": b"\x6a", "audio": b"\x72"}  # Data: 1, 2, 13, 14
_FORM_TAGS = {  # within Image, Video, Audio: url = 1, base64 = 2; within Text: raw = 1, url = 2
    ("text", "bytes"): b"\x0a",
    ("text", "url"): b"\x12",
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
    given = (
        _canonical(params, "inference_params"),
        _canonical(output_config, "output_config"),
        _canonical(routing, "routing"),
    )
    try:
        return _template(user_id, app_id, model_id, version_id, *given)
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


def _fill_output_config(message: pb.OutputConfig, values: dict[str, Any]) -> None:
    selected = values.get("select_concepts")
    if isinstance(selected, list):  # the documents give names or {"id": ..., "name": ...}
        values["select_concepts"] = [{"name": item} if isinstance(item, str) else item for item in selected]
    known = [field.name for field in pb.OutputConfig.DESCRIPTOR.fields]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"output_config has no field {', '.join(unknown)}; its fields are {', '.join(known)}")
    try:
        json_format.ParseDict(values, message)
    except json_format.ParseError as error:
        raise ConfigError(f"output_config: {error}") from None


def encode_input(input_id: str, fields: Iterable[tuple[str, str, Buffer]]) -> list[Buffer]:
    """Encode one input as a request's field `inputs`, in parts; large payloads are parts of their own.

    Args:
        fields: (type, form, payload): type "image", "video", "text" or "audio", form "bytes" or "url" (UTF-8).
    """
    body: list[Buffer] = []
    size = 0
    for type_, form, payload in fields:
        tag = _FORM_TAGS.get((type_, form)) or (b"\x0a" if form == "url" else b"\x12")
        length = _length(payload)
        head = tag + _varint(length)
        inner = len(head) + length
        body += (_FIELD_TAGS[type_] + _varint(inner) + head, payload)
        size += len(body[-2]) + length
    identity = input_id.encode()
    start = _ID_TAG + _varint(len(identity)) + identity if identity else b""
    start += _DATA_TAG + _varint(size)
    return _merged([_INPUTS_TAG + _varint(len(start) + size) + start, *body])


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
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(raw: bytes) -> rpc.MultiOutputResponse:
    """Decode a prediction response.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    return decode_as(rpc.MultiOutputResponse, raw)


def decode_as(cls: type[M], raw: bytes) -> M:
    """Decode a message of type `cls`.

    Raises:
        PredictionFailed: the bytes are not such a message.
    """
    try:
        return cls.FromString(raw)
    except DecodeError as error:
        raise PredictionFailed(f"the server's answer cannot be decoded ({len(raw)} bytes): {error}") from None


def vector_of(embedding: pb.Embedding) -> array.array[float]:
    """Give an embedding's 32-bit floats as one piece of memory, without making a Python float of each.

    A packed field is its numbers as they lie in memory (little-endian); it comes first in the message.
    """
    payload = 4 * len(embedding.vector)
    start = 1 + len(_varint(payload)) if payload else 0
    vector = array.array("f")
    vector.frombytes(memoryview(embedding.SerializeToString(deterministic=True))[start : start + payload])
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def to_dict(message: Message) -> dict[str, Any]:
    """Turn a message into plain JSON values, field names as in the protocol."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
