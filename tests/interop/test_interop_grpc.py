"""The official gRPC stubs, sync and aio, on the embedded server; their messages and ours in one program."""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import grpc
import pytest

from headrace import Client, Input
from tests.interop.conftest import SAMPLES, needed_module

IDS = {"user_id": "headrace", "app_id": "local"}
METADATA = (("authorization", "Key not-a-credential"), ("x-clarifai-request-id-prefix", "raw"))
CAT = (SAMPLES / "photos" / "cat.jpg").read_bytes()


@pytest.fixture(scope="module")
def official() -> SimpleNamespace:
    """The official modules."""
    needed_module("clarifai_grpc")

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"clarifai_grpc.{name}")

    return SimpleNamespace(
        channel=load("channel.clarifai_channel").ClarifaiChannel,
        stub=load("grpc.api.service_pb2_grpc").V2Stub,
        rpc=load("grpc.api.service_pb2"),
        pb=load("grpc.api.resources_pb2"),
        codes=load("grpc.api.status.status_code_pb2"),
    )


@pytest.fixture
def stub(official: SimpleNamespace, server: str) -> Iterator[Any]:
    """The official sync stub."""
    where = urllib.parse.urlsplit(server)
    channel = official.channel.get_insecure_grpc_channel(base=where.hostname, port=where.port)
    with channel:
        yield official.stub(channel)


@pytest.fixture
async def aio_stub(official: SimpleNamespace, server: str) -> AsyncIterator[Any]:
    """The official asyncio stub."""
    where = urllib.parse.urlsplit(server)
    channel = official.channel.get_aio_insecure_grpc_channel(base=where.hostname, port=where.port)
    async with channel:
        yield official.stub(channel)


def request(official: SimpleNamespace, *texts: str, model: str = "shout", **params: Any) -> Any:
    """Make an official request of texts."""
    made = official.rpc.PostModelOutputsRequest(user_app_id=official.pb.UserAppIDSet(**IDS), model_id=model)
    for number, text in enumerate(texts):
        made.inputs.append(official.pb.Input(id=f"i{number}", data=official.pb.Data(text=official.pb.Text(raw=text))))
    if params:
        made.model.model_version.output_info.params.update(params)
    return made


def picture(official: SimpleNamespace, content: bytes) -> Any:
    """Make an official request of one picture."""
    made = request(official, model="efficientnet-lite0")
    made.inputs.append(official.pb.Input(data=official.pb.Data(image=official.pb.Image(base64=content))))
    return made


def texts(response: Any) -> list[str]:
    assert response.status.code == 10000, response.status
    return [output.data.text.raw for output in response.outputs]


# --- the three shapes


def test_unary(official: SimpleNamespace, stub: Any) -> None:
    response = stub.PostModelOutputs(request(official, "a", "b", marks=2), metadata=METADATA)
    assert texts(response) == ["A!!", "B!!"]
    assert [output.input.id for output in response.outputs] == ["i0", "i1"]
    assert response.status.req_id.startswith("raw")


def test_server_stream(official: SimpleNamespace, stub: Any) -> None:
    stream = stub.GenerateModelOutputs(request(official, "one two three"), metadata=METADATA)
    assert [texts(response) for response in stream] == [["ONE"], ["TWO"], ["THREE"]]


def test_duplex(official: SimpleNamespace, stub: Any) -> None:
    stream = stub.StreamModelOutputs((request(official, str(n)) for n in range(50)), metadata=METADATA)
    assert [texts(response) for response in stream] == [[str(n)] for n in range(50)]


async def test_unary_aio(official: SimpleNamespace, aio_stub: Any) -> None:
    assert texts(await aio_stub.PostModelOutputs(request(official, "a"), metadata=METADATA)) == ["A"]


async def test_server_stream_aio(official: SimpleNamespace, aio_stub: Any) -> None:
    stream = aio_stub.GenerateModelOutputs(request(official, "one two three"), metadata=METADATA)
    assert [texts(response) async for response in stream] == [["ONE"], ["TWO"], ["THREE"]]


async def test_duplex_aio_answers_while_inputs_still_come(official: SimpleNamespace, aio_stub: Any) -> None:
    stream = aio_stub.StreamModelOutputs(metadata=METADATA)
    for word in ("one", "two", "three"):
        await stream.write(request(official, word))
        assert texts(await stream.read()) == [word.upper()]  # before the next is written
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


# --- what there is


def test_catalogue(official: SimpleNamespace, stub: Any) -> None:
    rpc, ids = official.rpc, official.pb.UserAppIDSet(**IDS)
    model = stub.GetModel(rpc.GetModelRequest(user_app_id=ids, model_id="efficientnet-lite0"))
    assert model.status.code == official.codes.SUCCESS
    assert (model.model.id, model.model.name) == ("efficientnet-lite0", "efficientnet-lite0")
    assert [m.name for m in model.model.model_version.method_signatures] == ["predict"]
    type_id = model.model.model_type_id
    assert list(stub.GetModelType(rpc.GetModelTypeRequest(model_type_id=type_id)).model_type.input_fields) == ["image"]
    types = stub.ListModelTypes(rpc.ListModelTypesRequest(page=1, per_page=500)).model_types
    listed = stub.ListModels(rpc.ListModelsRequest(user_app_id=ids, page=1, per_page=100)).models
    assert {"typed", "shout", "echo", "efficientnet-lite0"} <= {one.id for one in listed}
    assert {one.model_type_id for one in listed} == {one.id for one in types}
    version = stub.GetModelVersion(rpc.GetModelVersionRequest(user_app_id=ids, model_id="typed")).model_version
    assert [m.name for m in version.method_signatures][:3] == ["predict", "generate", "stream"]


def test_routing(official: SimpleNamespace, stub: Any) -> None:
    rpc, pb = official.rpc, official.pb
    assert stub.GetUser(rpc.GetUserRequest(user_app_id=pb.UserAppIDSet(user_id="me"))).user.id == "headrace"
    owner = pb.UserAppIDSet(user_id="somebody")
    deployment = stub.GetDeployment(rpc.GetDeploymentRequest(user_app_id=owner, deployment_id="d"))
    assert (deployment.status.code, deployment.deployment.id) == (10000, "d")
    pool = stub.GetNodepool(rpc.GetNodepoolRequest(user_app_id=owner, compute_cluster_id="c", nodepool_id="n"))
    assert (pool.status.code, pool.nodepool.id, pool.nodepool.compute_cluster.id) == (10000, "n", "c")
    routed = request(official, "a")
    routed.runner_selector.nodepool.CopyFrom(pool.nodepool)
    assert texts(stub.PostModelOutputs(routed)) == ["A"]


# --- methods with signatures, as SDKs write them


def typed(official: SimpleNamespace, method: str, **parts: Any) -> Any:
    """Make an official request that calls a method by name."""
    made = request(official, model="typed")
    data = made.inputs.add().data
    data.metadata.update({"_method_name": method})
    for name, value in parts.items():
        data.parts.append(official.pb.Part(id=name, data=value))
    return made


def test_json_and_text_as_the_node_sdk_writes_them(official: SimpleNamespace, stub: Any) -> None:
    data = official.pb.Data
    written = {"text": data(string_value="text"), "data": data(string_value='{"a": [1]}')}
    called = typed(official, "tell", flag=data(bool_value=True), ratio=data(float_value=0.5), **written)
    assert stub.PostModelOutputs(called).outputs[0].data.parts[0].data.string_value == '[true, 0.5, "text", {"a": [1]}]'
    for method, wrong in (("size", {"raw": "some bytes"}), ("pick", {"data": "{no json"})):
        refused = stub.PostModelOutputs(
            typed(official, method, **{name: data(string_value=value) for name, value in wrong.items()})
        )
        assert refused.status.code == official.codes.CONN_INVALID_REQUEST


def test_every_typed_answer_has_its_part(official: SimpleNamespace, stub: Any) -> None:
    data = official.pb.Data
    found = stub.PostModelOutputs(typed(official, "none", prompt=data(string_value="x"))).outputs[0].data.parts
    assert [(part.id, part.HasField("data")) for part in found] == [("return", True)]
    pieces = list(stub.GenerateModelOutputs(typed(official, "nothing", prompt=data(string_value="x"))))
    assert len(pieces) == 1  # SDKs wait for a first answer, and some for ten minutes
    assert [(part.id, part.HasField("data")) for part in pieces[0].outputs[0].data.parts] == [("return", True)]


def test_a_request_that_names_no_model(official: SimpleNamespace, stub: Any, settings: dict[str, str]) -> None:
    nameless = typed(official, "predict", prompt=official.pb.Data(string_value="x"))
    nameless.model_id = ""
    assert stub.PostModelOutputs(nameless).status.code == official.codes.CONN_INVALID_REQUEST
    where = urllib.parse.urlsplit(settings["only"])  # where there is only one, that is meant
    with official.channel.get_insecure_grpc_channel(base=where.hostname, port=where.port) as channel:
        answer = official.stub(channel).PostModelOutputs(nameless)
    assert answer.outputs[0].data.parts[0].data.string_value == "x x!"


# --- failures


def test_failures_are_responses(official: SimpleNamespace, stub: Any) -> None:
    unknown = stub.PostModelOutputs(request(official, "a", model="there-is-none"))
    assert unknown.status.code == official.codes.MODEL_DOES_NOT_EXIST
    assert len(unknown.outputs) == 1
    mixed = stub.PostModelOutputs(request(official, "a", "bad", "c"))
    assert mixed.status.code == official.codes.MIXED_STATUS
    assert [o.status.code for o in mixed.outputs] == [10000, official.codes.INPUT_INVALID_ARGUMENT, 10000]
    pieces = list(stub.GenerateModelOutputs(request(official, "a", model="there-is-none")))
    assert [piece.status.code for piece in pieces] == [official.codes.MODEL_DOES_NOT_EXIST]
    requests = [picture(official, content) for content in (CAT, b"no picture", CAT)]
    stream = stub.StreamModelOutputs(iter(requests))
    assert [response.status.code for response in stream] == [10000, official.codes.INPUT_UNSUPPORTED_FORMAT, 10000]


def test_methods_that_are_not_served(official: SimpleNamespace, stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListInputs(official.rpc.ListInputsRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- their messages and our client


async def test_their_inputs_go_into_our_client(official: SimpleNamespace, server: str) -> None:
    pb = official.pb
    texts = [pb.Input(id=f"t{n}", data=pb.Data(text=pb.Text(raw=f"word {n}"))) for n in range(3)]
    both = pb.Input(data=pb.Data(text=pb.Text(raw="what"), image=pb.Image(base64=CAT)))
    async with Client(base_url=server) as client:
        model = client.model(**IDS, model_id="shout")
        prediction = await model.predict(inputs=texts)
        assert [one.text for one in prediction] == ["WORD 0", "WORD 1", "WORD 2"]
        assert [one.input_id for one in prediction] == ["t0", "t1", "t2"]
        assert await model.generate(inputs=[texts[1]]).text() == "WORD1"
        streamed = [one async for one in model.stream(inputs=iter(texts))]
        assert [(one.input_id, one.text) for one in streamed] == [(f"t{n}", f"WORD {n}") for n in range(3)]
        mixed = await model.predict(inputs=[texts[0], Input.from_text("ours")])
        assert [one.text for one in mixed] == ["WORD 0", "OURS"]
        echo = client.model(**IDS, model_id="echo")
        assert (await echo.predict(inputs=[both])).text == f"image of {len(CAT)} bytes what"


async def test_a_model_whose_stream_gives_up_at_a_bad_input_is_asked_again_for_the_rest(server: str) -> None:
    async with Client(base_url=server) as client:
        words = ["a", "bad", "b", "c", "bad", *["d"] * 30]
        async with client.model(**IDS, model_id="shout").stream_by_bytes(iter(words), "text") as stream:
            found = [one.text if one.error is None else one.error.code async for one in stream]
        assert found == [30104 if word == "bad" else word.upper() for word in words]


async def test_our_raw_responses_are_read_with_their_messages(official: SimpleNamespace, server: str) -> None:
    read = official.rpc.MultiOutputResponse.FromString
    async with Client(base_url=server) as client:
        model = client.model(**IDS, model_id="efficientnet-lite0")
        prediction = await model.predict_by_bytes(CAT, "image")
        theirs = read(bytes(prediction.raw))
        assert theirs.status.code == 10000
        assert [c.name for c in theirs.outputs[0].data.concepts] == [c.name for c in prediction.concepts]
        shout = client.model(**IDS, model_id="shout")
        pieces = [read(bytes(piece.raw)) async for piece in shout.generate_by_bytes("a b", "text")]
        assert [piece.outputs[0].data.text.raw for piece in pieces] == ["A", "B"]
