"""The client: what it refuses, what it shares, what it looks up, and that it never shows a credential."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import headrace
from headrace import Client, ConfigError, RetryPolicy, errors, events
from headrace.catalog import ModelInfo
from headrace.testing import Fail, GrpcFail, ModelDouble
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

CANARY = "canary-0123456789abcdef"
OK = status_pb2.Status(code=10000)  # type: ignore[arg-type]


@pytest.fixture
async def open_client() -> AsyncIterator[Callable[..., Client]]:
    """Give a function that makes a client on a double; all are closed at the end."""
    clients: list[Client] = []

    def make(double: ModelDouble, **options: Any) -> Client:
        options.setdefault("base_url", "http://localhost:1")
        options.setdefault("retry", RetryPolicy(initial=0.001, cap=0.002))
        clients.append(Client(transport=double, **options))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


Open = Callable[..., Client]


def echo(item: Any) -> str:
    return str(item.text)


# -- what it refuses


@pytest.mark.parametrize("base", ["http://example.com", "http://10.0.0.1:80", "http://[2001:db8::1]"])
def test_a_credential_does_not_go_over_plaintext_to_another_machine(base: str) -> None:
    for given in ({"pat": CANARY}, {"token": CANARY}):
        with pytest.raises(ConfigError, match="not encrypted") as caught:
            Client(base_url=base, **given)  # type: ignore[arg-type]
        assert CANARY not in str(caught.value)
        Client(base_url=base, allow_insecure_credentials=True, **given)  # type: ignore[arg-type]
    Client(base_url=base)


@pytest.mark.parametrize("base", ["https://example.com", "http://localhost:1", "http://127.0.0.1", "unix:/run/x.sock"])
def test_it_goes_to_where_it_cannot_be_read(base: str) -> None:
    Client(base_url=base, pat=CANARY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": "5"},
        {"transport": "carrier pigeon"},
        {"pat": "a", "token": "b"},
        {"base_url": "ftp://x"},
        {"certificate": b"only half"},
        {"pat": "with\nnewline"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Client(**wrong)


async def test_the_hosted_api_needs_a_credential() -> None:
    async with Client() as client:
        with pytest.raises(ConfigError, match="no credential for https://api"):
            await client.model("u/a/models/m").predict_by_bytes("x")


async def test_an_embedded_server_starts_when_it_is_entered() -> None:
    client = Client.local()
    with pytest.raises(ConfigError, match="async with"):
        await client.model(model_id="echo").predict_by_bytes("x")
    await client.close()


def test_nothing_shows_the_credential() -> None:
    client = Client(pat=CANARY)
    shown = f"{client!r} {client} {client.model('u/a/models/m')!r} {client._account!r} {client.stats!r}"
    assert CANARY not in shown
    assert repr(client) == "<Client https://api.clarifai.com:443 open: 0 of 0 connections ready, 0 calls, 0 waiting>"


# -- closing and sharing


async def test_closing_is_idempotent_and_final(open_client: Open) -> None:
    client = open_client(ModelDouble(echo))
    model = client.model("u/a/models/m")
    async with client:
        await model.predict_by_bytes("x")
    await client.close()
    assert "closed" in repr(client)
    with pytest.raises(errors.ClosedError):
        await model.predict_by_bytes("x")
    with pytest.raises(errors.ClosedError):
        async for _ in model.stream(["x"]):
            pass


async def test_a_client_with_other_options_shares_the_connections(open_client: Open) -> None:
    got: list[events.Event] = []
    double = ModelDouble(echo)
    client = open_client(double)
    other = client.with_options(timeout=0.05, on_event=got.append, retry=RetryPolicy(attempts=1))
    await client.model("u/a/models/m").predict_by_bytes("x")
    assert (await other.model("u/a/models/m").predict_by_bytes("y")).text == "y"
    assert double.server.connects == 1
    assert client.stats.calls == other.stats.calls == 2
    double.hold()
    with pytest.raises(errors.DeadlineExceeded):
        await other.model("u/a/models/m").predict_by_bytes("x")
    double.function = lambda item: Fail(10030)
    double.release()
    with pytest.raises(errors.PredictionFailed):
        await other.model("u/a/models/m").predict_by_bytes("x")
    assert [type(event) for event in got] == [events.Connected]  # the connection is theirs as well
    await other.close()  # leaves them open
    double.function = echo
    assert (await client.model("u/a/models/m").predict_by_bytes("z")).text == "z"
    with pytest.raises(ConfigError):
        client.with_options(timeout=-1)


async def test_a_model_alone_owns_its_client() -> None:
    double = ModelDouble(echo)
    async with headrace.Model(url="u/a/models/m", base_url="http://localhost:1", transport=double) as model:
        assert (await model.predict_by_bytes("x")).text == "x"
    with pytest.raises(errors.ClosedError):
        await model.predict_by_bytes("x")
    with pytest.raises(ConfigError, match="pta"):
        headrace.Model(url="u/a/models/m", client=model.client, pta="x")  # type: ignore[call-arg]


async def test_a_model_of_a_client_leaves_it_open(open_client: Open) -> None:
    client = open_client(ModelDouble(echo))
    async with client.model("u/a/models/m"):
        pass
    assert (await client.model("u/a/models/m").predict_by_bytes("x")).text == "x"


async def test_its_state_can_be_read(open_client: Open) -> None:
    double = ModelDouble(echo)
    client = open_client(double)
    double.hold()
    task = asyncio.create_task(client.model("u/a/models/m").predict_by_bytes("x"))
    await double.received(1)
    stats = client.stats
    assert (stats.connections, stats.connected, stats.running, stats.waiting) == (1, 1, 1, 0)
    assert repr(client) == "<Client http://localhost:1 open: 1 of 1 connections ready, 1 calls, 0 waiting>"
    double.release()
    await task
    assert client.stats.running == 0


# -- what it looks up


async def test_models_are_listed_page_by_page(open_client: Open) -> None:
    double = ModelDouble(echo)

    def page(request: Any) -> rpc.MultiModelResponse:
        assert request.user_app_id.user_id == "me"
        count = {1: 100, 2: 100, 3: 7}[request.page]
        models = [
            pb.Model(id=f"m{request.page}-{n}", user_id="u", app_id="a", model_type_id="text-to-text")
            for n in range(count)
        ]
        return rpc.MultiModelResponse(status=OK, models=models)

    double.reply("ListModels", page)
    found = await open_client(double).models(user_id="me")
    assert len(found) == 207
    assert found[0] == ModelInfo(
        "u",
        "a",
        "m1-0",
        "text-to-text",
        "text-to-text",
        "https://clarifai.com/u/a/models/m1-0",
        input_fields=("text",),
    )


async def test_the_default_model_of_a_type(open_client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARIFAI_USER_ID", "u")
    monkeypatch.setenv("CLARIFAI_APP_ID", "a")
    client = open_client(ModelDouble(echo, input_fields=["text"]))
    assert (await client.default_model("text")).id == "double"
    with pytest.raises(errors.NotFound, match="takes video"):
        await client.default_model("video")


async def test_what_a_model_takes_is_looked_up_once(open_client: Open) -> None:
    double = ModelDouble(lambda item: "ok", input_fields=["image"])
    model = open_client(double).model("u/a/models/m")
    await model.predict_by_bytes(b"x")
    await model.predict_by_bytes(b"y")
    await model.predict([b"x", b"y"])
    methods = [call.method.rpartition("/")[2] for call in double.server.calls]
    assert methods == ["GetModel", "GetModelType", "PostModelOutputs", "PostModelOutputs", "PostModelOutputs"]
    assert {item.image for item in double.inputs} == {b"x", b"y"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["image", "text"], "takes image, text, and the input could be any of them: give input_type="),
        ([], "takes no known input: give input_type="),
    ],
)
async def test_what_a_model_of_several_types_cannot_tell_it_asks_for(
    open_client: Open, fields: list[str], message: str
) -> None:
    double = ModelDouble(lambda item: "ok", input_fields=fields)
    with pytest.raises(ConfigError, match=message):
        await open_client(double).model("u/a/models/m").predict_by_bytes(b"x")
    assert not double.inputs


async def test_whose_deployment_is_looked_up_once(open_client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    double = ModelDouble(echo)
    model = open_client(double).model("u/a/models/m", deployment_id="d")
    await model.predict_by_bytes("x")
    await model.predict_by_bytes("x")
    deployments = [item.request.runner_selector.deployment for item in double.inputs]
    assert [(d.id, d.user_id) for d in deployments] == [("d", "double-user")] * 2
    assert sum(call.method.endswith("GetUser") for call in double.server.calls) == 1
    monkeypatch.setenv("CLARIFAI_USER_ID", "env-user")
    await open_client(double).model("u/a/models/m", deployment_id="d").predict_by_bytes("x")
    assert double.inputs[-1].request.runner_selector.deployment.user_id == "env-user"
    await model.predict_by_bytes("x", deployment_user_id="given", deployment_id="d")
    assert double.inputs[-1].request.runner_selector.deployment.user_id == "given"


async def test_a_failed_look_up_is_reported_and_not_remembered(open_client: Open) -> None:
    double = ModelDouble(lambda item: "ok", input_fields=["image"])
    model = open_client(double).model("u/a/models/m")
    double.reply("GetModel", Fail(21200, "no such model"))
    with pytest.raises(errors.NotFound, match="no such model"):
        await model.predict_by_bytes(b"x")
    double.reply("GetModel", lambda request: rpc.SingleModelResponse(status=OK, model=pb.Model(model_type_id="t")))
    assert (await model.predict_by_bytes(b"x")).text == "ok"


async def test_look_ups_are_tried_again_like_calls(open_client: Open) -> None:
    double, seen = ModelDouble(echo), []

    def flaky(request: Any) -> Any:
        seen.append(request)
        return Fail(10030) if len(seen) == 1 else rpc.MultiModelResponse(status=OK)

    double.reply("ListModels", flaky)
    assert await open_client(double).models() == []
    assert len(seen) == 2


async def test_ids_of_inputs_are_plain_and_differ(open_client: Open) -> None:
    double = ModelDouble(echo)
    client, other = open_client(double), open_client(double)
    await client.model("u/a/models/m").predict(["x"] * 50)
    await other.model("u/a/models/m").predict(["x"] * 50)
    ids = [item.id for item in double.inputs]
    assert len(set(ids)) == 100
    assert all(len(id_) <= 32 and set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for id_ in ids)


async def test_a_server_that_gives_the_same_page_again_and_again_is_asked_twice(open_client: Open) -> None:
    double = ModelDouble(echo)
    page = [pb.Model(id=f"m{n}", user_id="u", app_id="a") for n in range(100)]
    double.reply("ListModels", rpc.MultiModelResponse(status=OK, models=page))
    assert len(await open_client(double).models(user_id="u", app_id="a")) == 100
    assert sum(call.method.endswith("ListModels") for call in double.server.calls) == 2


async def test_the_timeout_bounds_all_pages_together(open_client: Open) -> None:
    double, numbers = ModelDouble(echo), itertools.count()

    def page(_: Any) -> Any:
        models = [pb.Model(id=f"m{next(numbers)}", user_id="u", app_id="a") for _ in range(100)]
        return rpc.MultiModelResponse(status=OK, models=models)

    double.reply("ListModels", page)
    with pytest.raises(errors.DeadlineExceeded):
        await open_client(double, timeout=0.5).models(user_id="u", app_id="a")


async def test_what_a_server_does_not_say_of_a_model_is_none(open_client: Open) -> None:
    double = ModelDouble(echo)
    double.reply("GetModelType", GrpcFail("UNIMPLEMENTED"))
    model = open_client(double).model("u/a/models/m")
    info = await model.info()
    assert (info.id, info.input_fields, info.output_fields) == ("m", None, None)
    with pytest.raises(ConfigError, match="input_type="):
        await model.predict(b"x")
    assert (await model.predict(b"x", "text")).text
