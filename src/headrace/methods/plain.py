"""Typed calls in the plain form: a method's arguments as one input, and its answer as any other prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.inputs import Input
from headrace.methods.signatures import Method
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


def request(method: Method, arguments: Mapping[str, Any]) -> Input:
    """Make the input that calls a method, for `predict` and `generate`.

    Raises:
        ConfigError: a value that does not fit its type; the message has the signature.
    """
    return Input((), raw=pb.Input(data=method.encode(arguments)).SerializeToString())


def answer(method: Method, prediction: Prediction) -> Prediction:
    """Give the answer without the wrapping of a typed call, so that it looks like any other."""
    if prediction.error is not None or len(method.returns) != 1:
        return prediction
    outputs = [_unwrapped(output, method.returns[0].name) for output in prediction.outputs]
    return Prediction(
        prediction.raw,
        outputs,
        status=prediction.status,
        input_id=prediction.input_id,
        position=prediction.position,
    )


def _unwrapped(output: pb.Output, name: str) -> pb.Output:
    data = next((part.data for part in output.data.parts if part.id == name), None)
    if data is None:
        return output  # it stands inline
    copy = pb.Output()
    copy.CopyFrom(output)
    copy.data.CopyFrom(data)
    return copy


def jsonable(value: Any) -> Any:
    """Make JSON of a decoded value; of bytes it says how many there are."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
