"""Reading untrusted requests: fields are counted before they become objects; an empty message is only two bytes."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from headrace.server.envelope import BAD_FORMAT, INVALID_REQUEST
from headrace.server.model import ModelError
from headrace.support.protobytes import TooManyFields, check_messages
from headrace.v2 import service_pb2

M = TypeVar("M", bound=Message)

MAX_INPUTS = 128
MAX_FIELDS = 50_000  # fields and messages in one request, inputs and what is in them


def parsed(kind: type[M], data: bytes) -> M:
    """Read a request.

    Raises:
        ModelError: 11100 it is no such message, 11102 it holds too many inputs or fields.
    """
    try:
        check_messages(data, kind, MAX_FIELDS)
        request = kind.FromString(data)
    except TooManyFields as error:
        raise ModelError(INVALID_REQUEST, f"the request: {error}; at most {MAX_INPUTS} inputs are taken") from error
    except DecodeError as error:
        raise ModelError(BAD_FORMAT, f"the request is not a {kind.__name__}: {_why(data)}") from error
    if isinstance(request, service_pb2.PostModelOutputsRequest) and len(request.inputs) > MAX_INPUTS:
        raise too_many_inputs(len(request.inputs))
    return request


def too_many_inputs(count: int | str) -> ModelError:
    """Make the error of a request with too many inputs."""
    return ModelError(INVALID_REQUEST, f"the request has {count} inputs; at most {MAX_INPUTS} are taken")


def _why(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return "it is cut off, or a text in it is not UTF-8"
    return "it is cut off or of another kind"
