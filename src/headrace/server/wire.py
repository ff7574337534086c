"""The eleven methods of the service: their names, messages and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import Message

from headrace.codec import SERVICE as _PATH
from headrace.v2 import service_pb2 as pb

SERVICE = _PATH.strip("/")
Shape = Literal["unary", "generate", "stream"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the service: its messages and its shape."""

    name: str
    request: type[Message]
    response: type[Message]
    shape: Shape = "unary"

    @property
    def predicts(self) -> bool:
        """Whether models work for it; the others only list what exists."""
        return self.response is pb.MultiOutputResponse


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
