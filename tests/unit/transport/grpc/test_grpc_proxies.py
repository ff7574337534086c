"""What proxies and gateways answer, and servers that go away: each failure with its class and number of attempts."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from headrace import Client, errors
from headrace.config import RetryPolicy
from headrace.model import Model
from headrace.testing import answers
from tests.support.grpc_version import VERSION
from tests.support.rig import MODEL
from tests.support.scripted import Peer, ScriptedServer

pytestmark = pytest.mark.core

QUICK = RetryPolicy(initial=0.001, cap=0.002, throttled_attempts=4)
over_grpc = functools.partial(Client, transport="grpc")
GOOD = answers.to_response(["good"], [None], "r").SerializeToString()
SHAPES = ("predict", "generate", "map", "stream")
#: The oldest supported gRPC says "Stream removed" of a page with 200, and of any HTTP answer to a token stream.
SILENT = VERSION < (1, 66)


async def ending(model: Model, shape: str) -> str:
    try:
        if shape == "predict":
            return (await model.predict_by_bytes(b"x", "text")).text
        if shape == "generate":
            return await model.generate_by_bytes(b"x", "text").text()
        if shape == "map":
            async with model.map([b"x"], input_type="text") as stream:
                return (await anext(stream)).text
        async with model.stream_by_bytes([b"x"], "text") as stream:
            return (await anext(stream)).text
    except errors.HeadraceError as error:
        cause = error.__cause__ if isinstance(error, errors.StreamBroken) else error
        return type(cause).__name__


#: HTTP status, class of the error, requests that the server gets.
ANSWERS = [
    (200, "ConnectionLost", 5),  # gRPC does not tell a page with 200 from one with 502
    (301, "ConnectFailed", 1),
    (302, "ConnectFailed", 1),
    (307, "ConnectFailed", 1),
    (400, "ConnectFailed", 1),
    (401, "AuthError", 1),
    (403, "PermissionDenied", 1),
    (404, "ConnectFailed", 1),
    (413, "PayloadTooLarge", 1),
    (429, "Throttled", 4),
    (431, "PayloadTooLarge", 1),
    (502, "ConnectionLost", 5),
    (503, "ConnectionLost", 4),
    (504, "ConnectionLost", 2),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("status", "outcome", "requests"), ANSWERS)
async def test_an_http_answer_has_its_class_and_its_attempts(
    status: int, outcome: str, requests: int, shape: str
) -> None:
    if SILENT and (shape == "generate" or status == 200):
        pytest.skip("this gRPC does not report the HTTP status")

    def script(peer: Peer, stream: int) -> None:
        peer.answer_http(stream, status)

    async with (
        ScriptedServer(script) as server,
        over_grpc(base_url=server.address, retry=QUICK) as client,
    ):
        async with asyncio.timeout(20):
            found = await ending(client.model(**MODEL), shape)
        assert found == outcome
        # gRPC hides the HTTP status from the first `generate` of a connection; the second one learns it.
        assert requests <= server.requests <= requests + (shape == "generate")


@pytest.mark.skipif(SILENT, reason="this gRPC does not report the HTTP status")
async def test_an_http_answer_says_what_it_was_and_what_to_do() -> None:
    async def message(status: int) -> str:
        def script(peer: Peer, stream: int) -> None:
            peer.answer_http(stream, status)

        async with (
            ScriptedServer(script) as server,
            over_grpc(base_url=server.address, retry=QUICK) as client,
        ):
            with pytest.raises(errors.HeadraceError) as caught:
                await client.model(**MODEL).predict_by_bytes(b"x", "text")
            return str(caught.value)

    assert "the response is not gRPC" in await message(200)
    assert "HTTP 302" in (redirect := await message(302))
    assert "redirects" in redirect
    assert "requests_per_second" in await message(429)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["goaway", "refused"])
async def test_what_the_server_has_not_seen_is_sent_again_for_free(shape: str, how: str) -> None:
    def script(peer: Peer, stream: int) -> None:
        if server.requests > 3:
            peer.answer(stream, GOOD)
        elif how == "goaway":
            peer.go_away(max(0, stream - 2))
        else:
            peer.reset(stream, 7)

    retry = RetryPolicy(attempts=2, ambiguous_attempts=1)
    async with (
        ScriptedServer(script) as server,
        over_grpc(base_url=server.address, retry=retry) as client,
    ):
        async with asyncio.timeout(20):
            assert await ending(client.model(**MODEL), shape) == "good"
        assert server.answered == 1


async def test_connections_that_end_after_a_few_streams_lose_nothing() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.answer(stream, GOOD)
        if peer.streams == 5:
            peer.go_away(stream)

    async with ScriptedServer(script) as server, over_grpc(base_url=server.address) as client:
        model = client.model(**MODEL)
        async with asyncio.timeout(60):
            found: list[Any] = await asyncio.gather(
                *(model.predict_by_bytes(b"x", "text") for _ in range(300)), return_exceptions=True
            )
        assert [str(one) for one in found if isinstance(one, BaseException)] == []
        assert server.answered == 300


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("transport", "heeded"), [("h2", True), ("grpc", False)])
async def test_a_proxys_hint_when_to_come_back_is_heeded_where_it_can_be_read(
    transport: Any, heeded: bool, status: int, shape: str
) -> None:
    """The core of gRPC keeps nothing of such an answer but its status: neither metadata nor fields of the error."""
    times: list[float] = []

    def script(peer: Peer, stream: int) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            peer.answer_http(stream, status, ("retry-after", "1.0"))
        else:
            peer.answer(stream, GOOD)

    async with (
        ScriptedServer(script) as server,
        Client(base_url=server.address, retry=QUICK, transport=transport) as client,
    ):
        assert await ending(client.model(**MODEL), shape) == "good"
    assert (times[1] - times[0] >= 0.9) is heeded
