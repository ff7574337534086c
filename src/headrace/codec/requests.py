"""Requests: values -> bytes, encoded by hand where a payload must not be copied.

A request is a template (model, parameters, routing), encoded once and cached, followed by its inputs: protobuf joins
concatenated messages. Inputs are written as parts, so that a large payload is never copied on the way.
Source: the protobuf wire format (field key = number << 3 | wire type; strings and messages are length-prefixed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from headrace.errors import ConfigError
from headrace.support.protobytes import varint
from headrace.types import Buffer
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

SERVICE = "/clarifai.api.V2/"
PREDICT = SERVICE + "PostModelOutputs"
GENERATE = SERVICE + "GenerateModelOutputs"
STREAM = SERVICE + "StreamModelOutputs"

SEPARATE_BYTES = 4096  # bytes from which a payload is not copied to save a part
CACHED_JSON = 1024  # characters of parameters up to which an encoded template is kept

_INPUTS_TAG = b"\x22"  # PostModelOutputsRequest.inputs = 4
_ID_TAG, _DATA_TAG = b"\x0a", b"\x12"  # Input.id = 1, Input.data = 2
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
    """Encode a request without its inputs; cached by value.

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
        # Lone surrogates, numbers beyond a double, ids that are not a text.
        raise ConfigError(f"the arguments of the call cannot be sent: {error}") from None


@lru_cache(maxsize=256)
def _template(
    user_id: str, app_id: str, model_id: str, version_id: str, params: str, output_config: str, routing: str
) -> bytes:
    request = rpc.PostModelOutputsRequest(
        user_app_id=pb.UserAppIDSet(user_id=user_id, app_id=app_id), model_id=model_id, version_id=version_id
    )
    if params or output_config or routing:
        import json  # imported late: most first calls need none of it
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
    import json

    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name} must hold JSON values only (no NaN, no infinity): {error}") from None


MAX_WHOLE = 2**53  # numbers in parameters travel as doubles


def refuse_inexact(value: object) -> None:
    """Check that the whole numbers in a JSON value arrive unchanged.

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
        raise ValueError("a whole number over 2**53 would lose digits: send it as a str")


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
    if len(fields) == 1:
        type_, form, payload = fields[0]
        length = payload.nbytes if isinstance(payload, memoryview) else len(payload)
        before, between = _around(type_, form, len(identity), length)
        return [before + identity + between, payload]
    body: list[Buffer] = []
    size = 0
    for type_, form, payload in fields:
        tag, inner_tag = _TAGS[type_, form]
        length = payload.nbytes if isinstance(payload, memoryview) else len(payload)
        inner = inner_tag + varint(length)
        head = tag + varint(len(inner) + length) + inner
        body += (head, payload)
        size += len(head) + length
    start = _DATA_TAG + varint(size)
    if identity:
        start = _ID_TAG + varint(len(identity)) + identity + start
    start = _INPUTS_TAG + varint(len(start) + size) + start
    return [b"".join((start, *body))] if size < SEPARATE_BYTES else _merged([start, *body])


def before_payload(input_id: str, type_: str, size: int) -> bytes:
    """Encode the bytes before a payload of `size` bytes that is an input's only part; see `encode_input`."""
    identity = input_id.encode()
    before, between = _around(type_, "bytes", len(identity), size)
    return before + identity + between


@lru_cache(maxsize=4096)
def _around(type_: str, form: str, id_length: int, length: int) -> tuple[bytes, bytes]:
    """Encode the bytes before an input's id, and those between the id and its only payload.

    Cached: most inputs of a program are of a few lengths.
    """
    tag, inner_tag = _TAGS[type_, form]
    inner = inner_tag + varint(length)
    data = tag + varint(len(inner) + length) + inner
    between = _DATA_TAG + varint(len(data) + length) + data
    before = _ID_TAG + varint(id_length) if id_length else b""
    return _INPUTS_TAG + varint(len(before) + id_length + len(between) + length) + before, between


def encode_raw_input(message: bytes, input_id: str = "") -> list[Buffer]:
    """Encode an already serialised `Input`; an id given here overrides the message's own (the last one counts)."""
    suffix = b""
    if input_id:
        identity = input_id.encode()
        suffix = _ID_TAG + varint(len(identity)) + identity
    return _merged([_INPUTS_TAG + varint(len(message) + len(suffix)), message, suffix])


def size_of(parts: Sequence[Buffer]) -> int:
    """Count the bytes of a message in parts."""
    return sum(map(_length, parts))


def _length(part: Buffer) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _merged(parts: list[Buffer]) -> list[Buffer]:
    """Join small parts; large ones stay as they are."""
    if all(_length(part) < SEPARATE_BYTES for part in parts):
        return [b"".join(parts)]
    return [part for part in parts if _length(part)]
