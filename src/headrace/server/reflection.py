"""Server reflection under the official names, for grpcurl and similar tools.

Our messages have different names, so that the official package can be loaded in the same process. The descriptors
are therefore rewritten here, into a private pool; the default pool never sees a `clarifai.api` name.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

from headrace.server.wire import METHODS, SERVICE
from headrace.v2 import resources_pb2, service_pb2, status_pb2

_API, _STATUS = "clarifai.api", "clarifai.api.status"
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
_FILES = {
    status_pb2.DESCRIPTOR.name: ("proto/clarifai/api/status/status.proto", _STATUS),
    resources_pb2.DESCRIPTOR.name: ("proto/clarifai/api/resources.proto", _API),
    service_pb2.DESCRIPTOR.name: ("proto/clarifai/api/service.proto", _API),
}


def official_pool() -> descriptor_pool.DescriptorPool:
    """Build the private pool: our files under the official names, with the service's eleven methods."""
    pool = descriptor_pool.DescriptorPool()
    status_names = {
        f".{d.full_name}"
        for d in (
            *status_pb2.DESCRIPTOR.message_types_by_name.values(),
            *status_pb2.DESCRIPTOR.enum_types_by_name.values(),
        )
    }
    added: set[str] = set()
    for module in (status_pb2, resources_pb2, service_pb2):
        for dependency in module.DESCRIPTOR.dependencies:
            if dependency.name not in _FILES and dependency.name not in added:
                added.add(dependency.name)
                pool.AddSerializedFile(dependency.serialized_pb)
        pool.AddSerializedFile(_rewritten(module.DESCRIPTOR.serialized_pb, status_names).SerializeToString())
    return pool


def _rewritten(serialized: bytes, status_names: set[str]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
    own = f".{file.package}."
    file.name, file.package = _FILES[file.name]
    file.dependency[:] = [_FILES[name][0] if name in _FILES else name for name in file.dependency]

    def official(name: str) -> str:
        if not name.startswith(own):
            return name
        package = _STATUS if any(name == s or name.startswith(f"{s}.") for s in status_names) else _API
        return f".{package}.{name.removeprefix(own)}"

    def rename(message: descriptor_pb2.DescriptorProto) -> None:
        for field in message.field:
            if field.type_name:
                field.type_name = official(field.type_name)
        for nested in message.nested_type:
            rename(nested)

    for message in file.message_type:
        rename(message)
    if file.name.endswith("service.proto"):
        service = file.service.add(name=SERVICE.rpartition(".")[2])
        for method in METHODS:
            service.method.add(
                name=method.name,
                input_type=official(f".{method.request.DESCRIPTOR.full_name}"),
                output_type=official(f".{method.response.DESCRIPTOR.full_name}"),
                client_streaming=method.shape == "stream",
                server_streaming=method.shape != "unary",
            )
    return file


class _Pool:
    """A pool of descriptors that also finds a service's methods by name, which the library's reflection cannot."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Find the file of a message, an enum, a service or a method."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            descriptor = self._pool.FindServiceByName(service)  # raises the same if it is none
            if method not in descriptor.methods_by_name:
                raise
            return descriptor.file


def add_reflection(server: grpc.aio.Server) -> None:
    """Serve reflection, in both versions of its protocol: they differ in the package's name only."""
    from grpc_health.v1 import health, health_pb2
    from grpc_reflection.v1alpha import reflection, reflection_pb2
    from grpc_reflection.v1alpha._async import ReflectionServicer

    pool = official_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME, _REFLECTION_V1)
    servicer = ReflectionServicer(names, pool=_Pool(pool))
    request: type[Message] = reflection_pb2.ServerReflectionRequest
    behaviour = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=request.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (reflection.SERVICE_NAME, _REFLECTION_V1):
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": behaviour}),)
        )
