"""The whole client through real proxies, over both transports: nothing is lost and nothing comes twice.

Where a connection ends gently (reload, idle timeout, a limit of requests) the server sees each input once as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest
import trustme

from headrace import RetryPolicy, errors
from headrace.config import Transmission
from headrace.events import Connected, Disconnected
from headrace.target import Target
from headrace.transport.base import Transport
from tests.interop.conftest import absent
from tests.interop.install import Missing
from tests.stacks.conftest import FACTORIES, TRANSPORTS
from tests.stacks.proxies import Proxy, checked, envoy, haproxy, nghttpx, nginx
from tests.stacks.running import STACKS, free_port, running
from tests.stacks.world import PATIENT, Start, TransportName, under_load, world
from tests.support.rig import MODEL

pytestmark = [pytest.mark.conformance, pytest.mark.parametrize("transport", TRANSPORTS)]


@pytest.fixture(autouse=True)
def _there(request: pytest.FixtureRequest) -> None:
    """Skip where a test's proxy is not to be had."""
    for name in ("envoy", "haproxy", "nginx", "nghttpx"):
        if name in request.node.name:
            try:
                checked(name)
            except Missing as reason:
                absent("stacks", str(reason))


PLAIN: dict[str, Start] = {"nginx": nginx, "nghttpx": nghttpx, "haproxy": haproxy, "envoy": envoy}


@pytest.mark.parametrize("proxy", PLAIN)
async def test_calls_of_all_shapes_pass(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, PLAIN[proxy]) as here:
        await here.everything()
        large = "x" * (6 << 20)
        assert (await here.model.predict_by_bytes(large, "text")).text == large
        here.seen_once()
        assert here.client.stats.failures == 0


# -- gentle ends of connections

ENDING: dict[str, Start] = {
    "nginx: 7 requests a connection": lambda *at: nginx(*at, server="keepalive_requests 7;"),
    "nginx: 1 request a connection": lambda *at: nginx(*at, server="keepalive_requests 1;"),
    "envoy: 7 requests a connection": lambda *at: envoy(
        *at, manager={"common_http_protocol_options": {"max_requests_per_connection": 7}}
    ),
    "envoy: connections of 200 ms": lambda *at: envoy(
        *at,
        manager={"common_http_protocol_options": {"max_connection_duration": "0.2s"}, "drain_timeout": "0.1s"},
    ),
    "envoy: 3 streams at once": lambda *at: envoy(
        *at, manager={"http2_protocol_options": {"max_concurrent_streams": 3}}
    ),
    "nginx: 3 streams at once": lambda *at: nginx(*at, server="http2_max_concurrent_streams 3;"),
    "nghttpx: 3 streams at once": lambda *at: nghttpx(*at, "--frontend-http2-max-concurrent-streams=3"),
    "haproxy: 3 streams at once": lambda *at: haproxy(*at, settings="tune.h2.max-concurrent-streams 3"),
}


@pytest.mark.case("PX-01", "PX-05", "PX-06")
@pytest.mark.parametrize("proxy", ENDING)
async def test_connections_that_end_gently_again_and_again(
    proxy: str, transport: TransportName, tmp_path: Path
) -> None:
    async with world(tmp_path, transport, ENDING[proxy]) as here:
        for _ in range(4):
            await here.everything()
        here.seen_once()
        assert here.client.stats.failures == 0
        if "streams" not in proxy:
            assert here.count(Disconnected) > 2


IDLE: dict[str, Start] = {
    "nginx": lambda *at: nginx(*at, server="keepalive_timeout 1s;"),
    "nghttpx": lambda *at: nghttpx(*at, "--frontend-http2-read-timeout=1s"),
    "haproxy": lambda *at: haproxy(*at, defaults="timeout http-keep-alive 300ms"),
    "envoy": lambda *at: envoy(
        *at, manager={"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.1s"}
    ),
}


@pytest.mark.parametrize("proxy", IDLE)
async def test_a_connection_that_was_idle_for_too_long(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, IDLE[proxy]) as here:
        for number in range(1, 4):
            assert (await here.model.predict_by_bytes(f"call {number}", "text")).text == f"call {number}"
            async with asyncio.timeout(15):
                while here.count(Disconnected) < number:
                    await asyncio.sleep(0.02)
        here.seen_once()
        assert here.count(Connected) == 3
        assert here.client.stats.retries == 0


# -- a proxy that restarts, reloads, drains or dies under load


@pytest.mark.case("PX-07")
async def test_nginx_reloads(transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, nginx) as here:
        async with under_load(here, gentle=True):
            for _ in range(4):
                here.proxy.send(signal.SIGHUP)
                await asyncio.sleep(0.5)
        here.seen_once()
        assert here.count(Disconnected) >= 2
        assert here.client.stats.failures == 0


async def test_haproxy_reloads(transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, haproxy) as here:
        async with under_load(here, gentle=True):
            for _ in range(4):
                here.proxy.send(signal.SIGUSR2)
                await asyncio.sleep(0.5)
        here.seen_once()
        assert here.count(Disconnected) >= 2
        assert here.client.stats.failures == 0


async def test_envoy_drains(transport: TransportName, tmp_path: Path) -> None:
    """Its listener goes through a graceful drain, another Envoy takes the port over."""
    async with world(tmp_path, transport, envoy) as here:
        async with under_load(here, gentle=False):
            for _ in range(2):
                here.proxy.ask("/drain_listeners?graceful")
                await asyncio.sleep(1.5)
                here.proxy.process.terminate()
                await here.proxy.process.ended()
                here.replace(envoy)
                await asyncio.sleep(0.5)
        assert here.count(Disconnected) >= 1


@pytest.mark.case("PX-07")
async def test_nghttpx_shuts_down_gracefully(transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, nghttpx) as here:
        async with under_load(here, gentle=False):
            for _ in range(2):
                here.proxy.send(signal.SIGQUIT)
                await here.proxy.process.refuses()
                here.replace(nghttpx)
                await asyncio.sleep(0.5)
        assert here.count(Disconnected) >= 1


@pytest.mark.parametrize("proxy", PLAIN)
async def test_a_proxy_that_is_killed_and_comes_back(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    """What was under way goes again: the server may see it twice, the caller does not."""
    async with world(tmp_path, transport, PLAIN[proxy]) as here:
        async with under_load(here, gentle=False):
            for _ in range(2):
                here.proxy.process.kill()
                await asyncio.sleep(0.2)
                here.replace(PLAIN[proxy])
                await asyncio.sleep(0.5)
        assert here.client.stats.resumes + here.client.stats.retries > 0


@pytest.mark.case("PX-01")
async def test_three_thousand_calls_through_nginx(transport: TransportName, tmp_path: Path) -> None:
    """As it is installed it says goodbye after a thousand requests."""
    async with world(tmp_path, transport, nginx) as here:
        texts = [str(n) for n in range(3000)]
        assert [p.text async for p in here.model.map(texts, input_type="text", concurrency=32)] == texts
        here.seen_once()
        assert here.count(Disconnected) >= 2
        assert here.client.stats.failures == 0


@pytest.mark.case("PX-09")
@pytest.mark.parametrize("proxy", PLAIN)
async def test_proxies_with_tls(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    authority = trustme.CA()
    mine = authority.issue_cert("127.0.0.1")
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))

    def start(*at: Any) -> contextlib.AbstractContextManager[Proxy]:
        return PLAIN[proxy](*at, tls=True)

    roots = authority.cert_pem.bytes()
    async with world(tmp_path, transport, start, scheme="https", root_certificates=roots) as here:
        await here.everything()
        here.seen_once()
        assert here.client.stats.failures == 0


# -- streams that the proxy cuts

CUT: dict[str, Start] = {
    "envoy: a fifth of the requests is answered with 503": lambda *at, **more: envoy(
        *at, fault={"abort": {"http_status": 503, "percentage": {"numerator": 20}}}, **more
    ),
    "envoy: one call at once towards the server": lambda *at, **more: envoy(*at, breaker={"max_requests": 1}, **more),
    "envoy: a fifth of the calls is UNAVAILABLE": lambda *at, **more: envoy(
        *at, fault={"abort": {"grpc_status": 14, "percentage": {"numerator": 20}}}, **more
    ),
}


@pytest.mark.case("PX-04", "PX-06")
@pytest.mark.parametrize("proxy", CUT)
async def test_calls_that_the_proxy_cuts_go_again(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    async with world(tmp_path, transport, CUT[proxy], retry=PATIENT) as here:
        for _ in range(3):
            await here.everything(gentle=False)
        assert here.client.stats.resumes + here.client.stats.retries > 0


@pytest.mark.parametrize("proxy", PLAIN)
async def test_the_server_behind_the_proxy_is_killed_and_comes_back(
    proxy: str, transport: TransportName, tmp_path: Path
) -> None:
    """The proxy resets what was under way, or answers in the server's place."""
    async with world(tmp_path, transport, PLAIN[proxy]) as here:
        async with under_load(here, gentle=False):
            for _ in range(3):
                here.line.reset()
                async with here.line.refusing():
                    await asyncio.sleep(0.2)
                await asyncio.sleep(0.5)
        assert here.client.stats.resumes + here.client.stats.retries > 0


# -- what passes through

RAW: dict[str, Start] = {
    "nginx": lambda *at: nginx(*at, server="large_client_header_buffers 4 32k;"),
    "nghttpx": nghttpx,
    "haproxy": haproxy,
    "envoy": envoy,
}


@pytest.mark.case("PX-08")
@pytest.mark.parametrize("proxy", RAW)
async def test_what_goes_through_a_proxy(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    """Below the client: many messages, large ones, metadata, errors; deadlines and cancels reach the server."""
    port = free_port()
    with running(STACKS["grpc.aio"].command(port), port), RAW[proxy](tmp_path, port) as here:
        slot = FACTORIES[transport](Target.parse(here.address), Transmission())
        await slot.connect(10)
        try:
            await _pass_through(slot, 100_000 if transport == "h2" else 10_000)
        finally:
            await slot.close(0)


async def _pass_through(slot: Transport, messages: int) -> None:
    large = bytes(20 << 20)
    assert (await slot.unary("/stack.Echo/Unary", [large], (), 60)) == large
    value = "v" * 7_500
    assert await slot.unary("/stack.Echo/Unary", [b"metadata x-long"], (("x-long", value),), 10) == value.encode()
    with pytest.raises(errors.NotFound, match="there is none"):
        await slot.unary("/stack.Echo/Unary", [b"fail 5 there is none"], (), 10)
    with pytest.raises(errors.DeadlineExceeded):
        await slot.unary("/stack.Echo/Unary", [b"wait"], (), 0.3)
    waiting = slot.open("/stack.Echo/Duplex", ())
    await waiting.write([b"first"])
    assert await waiting.read() == b"first"
    await waiting.write([b"wait"])
    await asyncio.sleep(0.2)
    waiting.cancel()
    async with asyncio.timeout(10):
        while int(await slot.unary("/stack.Echo/Unary", [b"cancelled"], (), 10)) < 2:
            await asyncio.sleep(0.02)
    call = slot.open("/stack.Echo/Duplex", (), timeout=100)

    async def write() -> None:
        for number in range(messages):
            await call.write([b"%d" % number])
        await call.half_close()

    writing = asyncio.create_task(write())
    for number in range(messages):
        assert await call.read() == b"%d" % number
    assert await call.read() is None
    await writing


# -- what a proxy says instead of the server

ALONE = RetryPolicy(attempts=1)
PAGE = "<html><body>%s, says the proxy</body></html>"


def page(status: int) -> Start:
    """Let nginx answer everything with a page of its own."""
    return lambda *at: nginx(
        *at, location=f"default_type text/html; add_header retry-after 3 always; return {status} '{PAGE % status}';"
    )


SAID: dict[str, tuple[Start, type[Exception], str]] = {
    "nginx: 429": (page(429), errors.Throttled, "429"),
    "nginx: 502": (page(502), errors.ConnectionLost, "502"),
    "nginx: 503": (page(503), errors.ConnectionLost, "503"),
    "nginx: 504": (page(504), errors.ConnectionLost, "504"),
    "nginx: 413": (page(413), errors.PayloadTooLarge, "413"),
    "nginx: a body over its limit": (
        lambda *at: nginx(*at, location="client_max_body_size 1;"),
        errors.PayloadTooLarge,
        "413",
    ),
    "nginx: 403": (page(403), errors.PermissionDenied, "403"),
    "nginx: 404": (page(404), errors.ConnectFailed, "404"),
    "nginx: 200": (page(200), errors.ConnectFailed, "200"),
    "nginx: 302": (
        lambda *at: nginx(*at, location="return 302 https://elsewhere.example/;"),
        errors.ConnectFailed,
        "302",
    ),
    "haproxy: 429": (
        lambda *at: haproxy(*at, frontend="http-request deny deny_status 429"),
        errors.Throttled,
        "429",
    ),
    "haproxy: 503": (
        lambda *at: haproxy(*at, frontend="http-request deny deny_status 503"),
        errors.ConnectionLost,
        "503",
    ),
    "envoy: 429": (
        lambda *at: envoy(*at, route={"direct_response": {"status": 429}}),
        errors.ConnectionLost,
        "",
    ),
}


@pytest.mark.case("PX-02", "PX-03")
@pytest.mark.parametrize("proxy", SAID)
async def test_pages_of_proxies_are_typed_errors(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    start, kind, said = SAID[proxy]
    async with world(tmp_path, transport, start, retry=ALONE) as here:
        for call in (here.predicted, here.generated, here.streamed):
            error = await call()
            if transport == "grpc" and "does not report" in str(error):
                assert isinstance(error, errors.ConnectionLost)  # and so it is tried again
                assert not error.permanent
            else:
                assert isinstance(error, kind), error
                assert said in str(error)
        assert not here.double.attempts


SLOW: dict[str, Start] = {
    "nginx": lambda *at: nginx(*at, location="grpc_read_timeout 1s;"),
    "envoy": lambda *at: envoy(*at, route={"route": {"cluster": "upstream", "timeout": "0.5s"}}),
    "nghttpx": lambda *at: nghttpx(*at, "--backend-read-timeout=1s"),
    "haproxy": lambda *at: haproxy(*at, defaults="timeout server 1s"),
}


@pytest.mark.case("PX-02", "PX-04")
@pytest.mark.parametrize("proxy", SLOW)
async def test_a_request_that_takes_longer_than_the_proxy_waits(
    proxy: str, transport: TransportName, tmp_path: Path
) -> None:
    async with world(tmp_path, transport, SLOW[proxy], retry=ALONE) as here:
        here.double.hold()
        with pytest.raises((errors.TransportError, errors.ServerError)):
            await asyncio.wait_for(here.model.predict_by_bytes("slow", "text"), 20)
        here.double.release()
        assert (await here.model.predict_by_bytes("quick", "text")).text == "quick"


@pytest.mark.case("PX-02", "PX-04")
@pytest.mark.parametrize("proxy", PLAIN)
async def test_a_proxy_without_its_server(proxy: str, transport: TransportName, tmp_path: Path) -> None:
    """Its 502 or 503 is an outage like any other: waited for, and over when the server is back."""
    async with world(tmp_path, transport, PLAIN[proxy]) as here:
        await here.model.predict_by_bytes("before", "text")
        here.line.reset()
        await here.line.refuse()
        with pytest.raises((errors.TransportError, errors.ServerError)):
            await here.client.with_options(retry=ALONE).model(**MODEL).predict_by_bytes("during", "text")
        waiting = asyncio.create_task(here.everything(gentle=False))
        await asyncio.sleep(0.3)
        await here.line.accept()
        await asyncio.wait_for(waiting, 60)
