"""The eleven methods by path, as generic gRPC handlers: no generated service code is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.protobuf.message import DecodeError, Message

from headrace.server import envelope
from headrace.v2 import service_pb2 as pb

SERVICE = "clarifai.api.V2"
Shape = Literal["unary", "generate", "stream"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the service: its messages and its shape."""

    name: str
    request: type[Message]
    response: type[Message]
    shape: Shape = "unary"


METHODS = (
    Method("PostModelOutputs", pb.PostModelOutputsRequest, pb.MultiOutputResponse),
    Method("GenerateModelOutputs", pb.PostModelOutputsRequest, pb.MultiOutputResponse, "generate"),
    Method("StreamModelOutputs", pb.PostModelOutputsRequest, pb.MultiOutputResponse, "stream"),
    Method("GetModel", pb.GetModelRequest, pb.SingleModelResponse),
    Method("ListModels", pb.ListModelsRequest, pb.MultiModelResponse),
    Method("GetModelVersion", pb.GetModelVersionRequest, pb.SingleModelVersionResponse),
    Method("GetModelType", pb.GetModelTypeRequest, pb.SingleModelTypeResponse),
    Method("ListModelTypes", pb.ListModelTypesRequest, pb.MultiModelTypeResponse),
    Method("GetUser", pb.GetUserRequest, pb.SingleUserResponse),
    Method("GetNodepool", pb.GetNodepoolRequest, pb.SingleNodepoolResponse),
    Method("GetDeployment", pb.GetDeploymentRequest, pb.SingleDeploymentResponse),
)


def handler(behaviours: Mapping[str, Any]) -> grpc.GenericRpcHandler:
    """Make the service's handler; `behaviours` has one coroutine function for each method's name."""
    makers = {
        "unary": grpc.unary_unary_rpc_method_handler,
        "generate": grpc.unary_stream_rpc_method_handler,
        "stream": grpc.stream_stream_rpc_method_handler,
    }
    handlers = {
        method.name: makers[method.shape](
            _checked(method, behaviours[method.name]),
            request_deserializer=_parser(method),
            response_serializer=method.response.SerializeToString,
        )
        for method in METHODS
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _parser(method: Method) -> Callable[[bytes], Any]:
    """Give what reads a request; one that is no such message is None, except in a stream, which it ends."""
    if method.shape == "stream":
        return method.request.FromString

    def parse(data: bytes) -> Any:
        try:
            return method.request.FromString(data)
        except DecodeError:
            return None

    return parse


def _checked(method: Method, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def checked(request: Any, context: Any) -> Any:
        if request is not None:
            return await behaviour(request, context)
        failed: Any = method.response()
        failed.status.CopyFrom(envelope.status(envelope.BAD_FORMAT, f"the request is not a {method.request.__name__}"))
        if method.shape == "unary":
            return failed
        await context.write(failed)
        return None

    return behaviour if method.shape == "stream" else checked
