"""The eleven methods by path, as generic gRPC handlers: no generated service code is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.protobuf.message import Message

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
            behaviours[method.name],
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
        for method in METHODS
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)
