"""The methods that list and describe, health and reflection."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from headrace.server.model import Card, Item
from headrace.server.wire import METHODS, SERVICE
from headrace.v2 import service_pb2 as pb


class Cats:
    """Takes pictures and videos."""

    card = Card("cats", "visual-detector", "Cats", "Finds cats.", ("image", "video"), ("regions",), "CC0-1.0")

    def predict(self, item: Item) -> str:
        return ""


class Faces:
    """Another one of the same type."""

    card = Card("faces", "visual-detector", "Faces", "Finds faces.", ("image",), ("regions", "concepts"))

    def predict(self, item: Item) -> str:
        return ""


async def test_get_model_tells_what_clients_need(serve: Any) -> None:
    stub = await serve(Cats)
    request = pb.GetModelRequest(model_id="cats")
    request.user_app_id.user_id, request.user_app_id.app_id = "u", "a"
    response = await stub.call["GetModel"](request)
    model = response.model
    assert response.status.code == 10000
    assert response.status.req_id
    assert (model.id, model.user_id, model.app_id, model.model_type_id) == (
        "cats",
        "u",
        "a",
        "visual-detector-image-video",
    )
    assert model.model_version.id == ""  # clients send it back, and nothing else is kept
    assert model.metadata["input_fields"][1] == "video"
    assert model.metadata["licence"] == "CC0-1.0"
    version = await stub.call["GetModelVersion"](pb.GetModelVersionRequest(model_id="cats"))
    assert (version.status.code, version.model_version.status.code) == (10000, 21100)


@pytest.mark.parametrize("method", ["GetModel", "GetModelVersion"])
async def test_an_unknown_model_is_21200(serve: Any, method: str) -> None:
    stub = await serve()
    request = next(m.request for m in METHODS if m.name == method)(model_id="nope")
    assert (await stub.call[method](request)).status.code == 21200


async def test_models_are_listed_filtered_and_paged(serve: Any) -> None:
    stub = await serve(Cats, Faces)

    async def ids(**filters: Any) -> list[str]:
        return [m.id for m in (await stub.call["ListModels"](pb.ListModelsRequest(**filters))).models]

    assert await ids() == ["cats", "faces", "echo"]
    assert await ids(model_type_id="visual-detector") == ["cats", "faces"]
    assert await ids(model_type_id="visual-detector-image-video") == ["cats"]
    assert await ids(input_fields=["video"]) == ["cats", "echo"]
    assert await ids(featured_only=True) == ["echo"]
    assert await ids(search="FACES") == ["faces"]
    assert await ids(page=2, per_page=2) == ["echo"]
    assert await ids(page=3, per_page=2) == []


class Bare:
    """Does not say what it takes."""

    def predict(self, item: Item) -> str:
        return ""


async def test_the_default_of_a_kind_is_the_first_that_takes_it_and_echo_the_last_resort(serve: Any) -> None:
    stub = await serve(Bare, Cats, Faces)
    listed = (await stub.call["ListModels"](pb.ListModelsRequest())).models
    assert {m.id: list(m.metadata["default_for"]) for m in listed} == {
        "bare": [],
        "cats": ["image", "video"],
        "faces": [],
        "echo": ["text", "audio"],
    }


async def test_a_models_type_says_what_the_model_takes(serve: Any) -> None:
    stub = await serve(Bare, Cats, Faces, models=("echo", "yolov3-tiny", "yolov3-tiny-video", "efficientnet-lite0"))
    types = {t.id: t for t in (await stub.call["ListModelTypes"](pb.ListModelTypesRequest())).model_types}
    for model in (await stub.call["ListModels"](pb.ListModelsRequest())).models:
        one = await stub.call["GetModelType"](pb.GetModelTypeRequest(model_type_id=model.model_type_id))
        assert one.model_type == types[model.model_type_id]
        assert list(one.model_type.input_fields) == list(model.metadata["input_fields"]), model.id
    assert list(types["visual-detector"].input_fields) == ["image"]
    assert list(types["visual-detector"].output_fields) == ["regions", "concepts"]
    assert list(types["visual-detector-video"].input_fields) == ["video"]
    assert list(types["echo"].input_fields) == ["text", "image", "video", "audio"]
    unknown = await stub.call["GetModelType"](pb.GetModelTypeRequest(model_type_id="nope"))
    assert unknown.status.code == 11101


async def test_user_deployment_and_node_pool_are_there_for_whoever_asks(serve: Any) -> None:
    stub = await serve()
    request = pb.GetUserRequest()
    request.user_app_id.user_id = "me"
    user = await stub.call["GetUser"](request)
    assert (user.status.code, user.user.id) == (10000, "headrace")
    request.user_app_id.user_id = "somebody"
    assert (await stub.call["GetUser"](request)).user.id == "somebody"
    deployment = await stub.call["GetDeployment"](pb.GetDeploymentRequest(deployment_id="d"))
    assert (deployment.status.code, deployment.deployment.id) == (10000, "d")
    assert deployment.deployment.nodepools[0].compute_cluster.id
    assert (await stub.call["GetDeployment"](pb.GetDeploymentRequest())).status.code == 11102
    pool = await stub.call["GetNodepool"](pb.GetNodepoolRequest(nodepool_id="n", compute_cluster_id="c"))
    assert (pool.status.code, pool.nodepool.id, pool.nodepool.compute_cluster.id) == (10000, "n", "c")


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_serving(serve: Any, service: str) -> None:
    stub = await serve()
    check = stub.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    answer = await check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_serves_the_official_names(serve: Any, version: str) -> None:
    """What `grpcurl list`, `describe SERVICE` and `describe SERVICE.METHOD` ask for; both versions have one form."""
    stub = await serve()
    reflect = stub.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.PostModelOutputs"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.NoSuchMethod"),
    ]
    listed, found, health, method, missing = [answer async for answer in reflect(iter(asked))]
    assert f"grpc.reflection.{version}.ServerReflection" in {s.name for s in listed.list_services_response.service}
    assert method.file_descriptor_response == found.file_descriptor_response
    assert missing.error_response.error_code == 5  # NOT_FOUND
    assert SERVICE in {s.name for s in listed.list_services_response.service}
    assert health.file_descriptor_response.file_descriptor_proto
    pool = descriptor_pool.DescriptorPool()
    raw = found.file_descriptor_response.file_descriptor_proto
    files = {f.name: f for f in map(descriptor_pb2.FileDescriptorProto.FromString, raw)}

    def add(name: str) -> None:
        if file := files.pop(name, None):
            for dependency in file.dependency:
                add(dependency)
            pool.AddSerializedFile(file.SerializeToString())

    for name in list(files):
        add(name)
    service = pool.FindServiceByName(SERVICE)
    assert {m.name for m in service.methods} == {m.name for m in METHODS}
    stream = service.methods_by_name["StreamModelOutputs"]
    assert (stream.client_streaming, stream.server_streaming) == (True, True)
    assert stream.input_type.full_name == "clarifai.api.PostModelOutputsRequest"
    status = stream.output_type.fields_by_name["status"].message_type
    assert status is not None
    assert status.full_name == "clarifai.api.status.Status"


def test_the_official_names_stay_free_in_the_process() -> None:
    """In a process of its own: others of these tests import the official package."""
    script = """
from google.protobuf import descriptor_pool
from headrace.server.reflection import official_pool

official_pool().FindServiceByName("clarifai.api.V2")
for name in ("clarifai.api.Model", "clarifai.api.status.Status", "clarifai.api.V2"):
    try:
        descriptor_pool.Default().FindFileContainingSymbol(name)
    except KeyError:
        continue
    raise SystemExit(f"{name} is taken")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
