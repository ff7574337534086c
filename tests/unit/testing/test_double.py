"""The model double: a Python function behind all three prediction methods and the look-ups."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

import pytest
from google.protobuf.message import Message

from headrace import errors
from headrace.codec import SERVICE
from headrace.config import Target, Transmission
from headrace.testing import Answer, Fail, GrpcFail, MemoryServer, MemoryTransport, ModelDouble, ReceivedInput
from headrace.transport.base import Call
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as service

PREDICT, GENERATE, STREAM = (
    SERVICE + name for name in ("PostModelOutputs", "GenerateModelOutputs", "StreamModelOutputs")
)


def request(*ids: str, **params: Any) -> bytes:
    message = service.PostModelOutputsRequest()
    for input_id in ids:
        message.inputs.add(id=input_id, data=pb.Data(text=pb.Text(raw=f"text of {input_id}")))
    message.model.model_version.output_info.params.update(params)
    return message.SerializeToString()


def texts(message: bytes | None) -> list[str]:
    return [output.data.text.raw for output in parsed(message).outputs]


def parsed(message: bytes | None) -> service.MultiOutputResponse:
    assert message is not None
    return service.MultiOutputResponse.FromString(message)


def shout(item: ReceivedInput) -> Answer:
    return item.text.upper()


def connect_to(double: ModelDouble) -> MemoryTransport:
    return double(Target.parse("unix:/memory"), Transmission())


@pytest.fixture
async def double() -> AsyncIterator[ModelDouble]:
    double = ModelDouble(shout)
    yield double
    assert not double.server.errors
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def transport(double: ModelDouble) -> AsyncIterator[MemoryTransport]:
    transport = connect_to(double)
    yield transport
    await transport.close(0)


async def read_texts(call: Call) -> list[str]:
    found = []
    while (message := await call.read()) is not None:
        found += texts(message)
    return found


async def test_predict_answers_every_input_in_one_response(double: ModelDouble, transport: MemoryTransport) -> None:
    response = parsed(await transport.unary(PREDICT, [request("a", "b")], [("x-test", "1")], 5.0))
    assert [(o.input.id, o.data.text.raw) for o in response.outputs] == [("a", "TEXT OF A"), ("b", "TEXT OF B")]
    assert int(response.status.code) == 10000
    assert response.status.req_id
    assert [(item.id, item.shape, item.metadata) for item in double.inputs] == [
        ("a", "predict", {"x-test": "1"}),
        ("b", "predict", {"x-test": "1"}),
    ]
    assert double.answered == 2


async def test_the_function_sees_parameters_and_attempts(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: f"{item.params['k']} {item.attempt} {item.image!r} {item.output_config.min_value}"
    for attempt in (1, 2):
        answer = texts(await transport.unary(PREDICT, [request("a", k=5)], (), 5.0))
        assert answer == [f"5.0 {attempt} b'' 0.0"]
    assert double.attempts == {"a": 2}


async def test_generate_sends_every_piece_by_itself(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: ["one ", "two ", "three"]
    call = transport.open(GENERATE, ())
    await call.write([request("a")])
    await call.half_close()
    assert await read_texts(call) == ["one ", "two ", "three"]
    assert texts(await transport.unary(PREDICT, [request("a")], (), 5.0)) == ["one two three"]


async def test_generate_ends_with_a_failing_piece(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: ["one", Fail(21313, "out of memory"), "never"]
    call = transport.open(GENERATE, ())
    await call.write([request("a")])
    assert texts(await call.read()) == ["one"]
    failed = parsed(await call.read())
    assert (int(failed.status.code), failed.status.description) == (21313, "out of memory")
    assert await call.read() is None


async def test_generate_ends_with_a_grpc_status(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: ["one", GrpcFail("UNAVAILABLE", "gone", retry_after=2.0)]
    call = transport.open(GENERATE, ())
    await call.write([request("a")])
    assert texts(await call.read()) == ["one"]
    with pytest.raises(errors.ConnectionLost, match="gone") as caught:
        await call.read()
    assert caught.value.retry_after == 2.0


async def test_a_generator_is_closed_when_the_client_goes(double: ModelDouble, transport: MemoryTransport) -> None:
    closed = asyncio.Event()

    async def endless(item: ReceivedInput) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "x" * 10_000
        finally:
            closed.set()

    double.function = endless
    call = transport.open(GENERATE, ())
    await call.write([request("a")])
    await call.read()
    call.cancel()
    await double.server.until(lambda: double.server.calls[0].finished)
    assert closed.is_set()


async def test_failing_outputs_stay_among_good_ones(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: 30300 if item.id == "bad" else "fine"
    response = parsed(await transport.unary(PREDICT, [request("a", "bad")], (), 5.0))
    assert int(response.status.code) == 10010
    assert [(o.input.id, int(o.status.code)) for o in response.outputs] == [("a", 10000), ("bad", 30300)]


async def test_a_grpc_status_ends_a_predict(double: ModelDouble, transport: MemoryTransport) -> None:
    double.function = lambda item: GrpcFail("UNAUTHENTICATED", "who are you")
    with pytest.raises(errors.AuthError, match="who are you"):
        await transport.unary(PREDICT, [request("a")], (), 5.0)


async def test_an_error_of_the_function_is_kept(double: ModelDouble) -> None:
    transport = connect_to(double)

    async def bug(item: ReceivedInput) -> str:
        raise LookupError("no such thing")

    double.function = bug
    with pytest.raises(errors.PredictionFailed, match="LookupError"):
        await transport.unary(PREDICT, [request("a")], (), 5.0)
    call = transport.open(STREAM, ())
    await call.write([request("a")])
    with pytest.raises(errors.PredictionFailed, match="LookupError"):
        await call.read()
    assert len(double.server.errors) == 2
    double.server.errors.clear()
    await transport.close(0)


@pytest.mark.parametrize(
    ("answering", "order"),
    [("in_order", ["a", "b", "c"]), ("as_ready", ["c", "a", "b"]), ("at_end", ["a", "b", "c"])],
)
async def test_a_stream_answers_in_its_way(
    double: ModelDouble,
    transport: MemoryTransport,
    answering: Literal["in_order", "as_ready", "at_end"],
    order: list[str],
) -> None:
    double.answering = answering
    double.hold()
    call = transport.open(STREAM, ())
    for input_id in "abc":
        await call.write([request(input_id)])
    await double.received(3)
    for input_id in "cab":
        double.release(input_id)
        await double.server.until(lambda: double.answered == 1 + "cab".index(input_id))  # noqa: B023
        assert double.server.calls[0].sent_messages <= (0 if answering == "at_end" else 3)
    await call.half_close()
    found = []
    while (message := await call.read()) is not None:
        found += [output.input.id for output in parsed(message).outputs]
    assert found == order


async def test_a_stream_answers_while_inputs_still_come(double: ModelDouble, transport: MemoryTransport) -> None:
    call = transport.open(STREAM, ())
    for input_id in ("a", "b"):
        await call.write([request(input_id)])
        assert texts(await call.read()) == [f"TEXT OF {input_id.upper()}"]
    call.cancel()
    await double.server.until(lambda: double.server.calls[0].finished)


async def test_ids_are_echoed_only_if_wanted(double: ModelDouble, transport: MemoryTransport) -> None:
    double.echo_ids = False
    response = parsed(await transport.unary(PREDICT, [request("a")], (), 5.0))
    assert not response.outputs[0].HasField("input")


async def test_answers_are_held_and_released(double: ModelDouble, transport: MemoryTransport) -> None:
    with double.holding():
        tasks = [asyncio.create_task(transport.unary(PREDICT, [request(i)], (), 5.0)) for i in "abc"]
        await double.received(3)
        await double.server.until(lambda: len(double.held) == 3)
        double.release("b")
        await tasks[1]
        double.release_next()
        await tasks[0]
        assert double.held == ["c"]
        assert repr(double) == "<ModelDouble 3 received, 2 answered, 1 held>"
    await tasks[2]


async def test_held_answers_end_with_their_call(double: ModelDouble, transport: MemoryTransport) -> None:
    double.hold()
    call = transport.open(STREAM, ())
    for input_id in "abc":
        await call.write([request(input_id)])
    await double.server.until(lambda: double.held == ["a", "b", "c"])
    call.cancel()
    await double.server.until(lambda: double.server.calls[0].finished)
    assert double.held == []


async def look_up(transport: MemoryTransport, method: str, request: Message, response: type[Message]) -> Any:
    answer = await transport.unary(SERVICE + method, [request.SerializeToString()], (), 5.0)
    return response.FromString(answer)


async def test_look_ups_are_answered(transport: MemoryTransport, double: ModelDouble) -> None:
    owner = pb.UserAppIDSet(user_id="u", app_id="a")
    double.signatures = [pb.MethodSignature(name="shout")]
    asked = service.GetModelRequest(user_app_id=owner, model_id="m", version_id="v")
    model = (await look_up(transport, "GetModel", asked, service.SingleModelResponse)).model
    assert (model.user_id, model.app_id, model.id, model.model_version.id) == ("u", "a", "m", "v")
    assert model.model_type_id == "text-to-text"
    version_asked = service.GetModelVersionRequest(user_app_id=owner, model_id="m")
    version = await look_up(transport, "GetModelVersion", version_asked, service.SingleModelVersionResponse)
    assert [s.name for s in version.model_version.method_signatures] == ["shout"]
    kind_asked = service.GetModelTypeRequest(model_type_id="text-to-text")
    kind = await look_up(transport, "GetModelType", kind_asked, service.SingleModelTypeResponse)
    assert list(kind.model_type.input_fields) == ["text"]
    kinds = await look_up(transport, "ListModelTypes", service.ListModelTypesRequest(), service.MultiModelTypeResponse)
    assert len(kinds.model_types) == 1
    for page, count in ((0, 1), (1, 1), (2, 0)):
        listing = await look_up(
            transport, "ListModels", service.ListModelsRequest(page=page), service.MultiModelResponse
        )
        assert len(listing.models) == count
    deployment = await look_up(
        transport,
        "GetDeployment",
        service.GetDeploymentRequest(deployment_id="d"),
        service.SingleDeploymentResponse,
    )
    assert deployment.deployment.id == "d"
    nodepool = await look_up(
        transport, "GetNodepool", service.GetNodepoolRequest(nodepool_id="n"), service.SingleNodepoolResponse
    )
    assert nodepool.nodepool.id == "n"
    user = await look_up(transport, "GetUser", service.GetUserRequest(), service.SingleUserResponse)
    assert user.user.id
    assert int(user.status.code) == 10000


async def test_look_ups_can_be_scripted(transport: MemoryTransport, double: ModelDouble) -> None:
    asked = service.GetModelRequest(model_id="m")
    double.reply("GetModel", 21200)
    failed = await look_up(transport, "GetModel", asked, service.SingleModelResponse)
    assert int(failed.status.code) == 21200
    double.reply("GetModel", lambda request: service.SingleModelResponse(model=pb.Model(id="other")))
    assert (await look_up(transport, "GetModel", asked, service.SingleModelResponse)).model.id == "other"
    double.reply("GetModel", GrpcFail("UNIMPLEMENTED"))
    with pytest.raises(errors.InvalidRequest):
        await look_up(transport, "GetModel", asked, service.SingleModelResponse)
    with pytest.raises(ValueError, match="PostModelOutputs"):
        double.reply("PostModelOutputs", 10020)


async def test_it_works_on_a_server_of_the_tests_own() -> None:
    server = MemoryServer(keep=False, streams_per_connection=1)
    double = ModelDouble(shout, server=server)
    transport = connect_to(double)
    assert texts(await transport.unary(PREDICT, [request("a")], (), 5.0)) == ["TEXT OF A"]
    assert double.inputs == []
    assert double.attempts == {"a": 1}
    await transport.close(0)
