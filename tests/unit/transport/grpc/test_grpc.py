"""The connection over gRPC: every ending with its own error, TLS, and no cancellation that nobody asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import trustme
from grpc import aio

from headrace import errors
from headrace.config import TLS, KeepAlive, Transmission
from headrace.target import Target
from headrace.transport.base import Call, Transport
from headrace.transport.grpc import calls, channel, client, diagnosis
from headrace.transport.grpc.client import GrpcTransport

pytestmark = pytest.mark.core

ECHO, STREAM, FAIL, HANG, PEER, NOTHING = (
    f"/test.T/{name}" for name in ("Echo", "Stream", "Fail", "Hang", "Peer", "Nothing")
)


class Handlers(grpc.GenericRpcHandler):
    """A server that echoes, fails as it is told, hangs, or says who called."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.metadata: dict[str, Any] = {}

    def service(self, details: Any) -> Any:
        self.metadata = dict(details.invocation_metadata)
        if details.method in (STREAM, HANG, NOTHING):
            return grpc.stream_stream_rpc_method_handler(getattr(self, details.method.rpartition("/")[2].lower()))
        return grpc.unary_unary_rpc_method_handler(getattr(self, details.method.rpartition("/")[2].lower()))

    async def echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def peer(self, request: bytes, context: Any) -> bytes:
        return str(context.peer()).encode()

    async def fail(self, request: bytes, context: Any) -> bytes:
        name, _, hint = request.decode().partition(" ")
        trailing = (tuple(hint.split("=")),) if hint else ()
        await context.abort(getattr(grpc.StatusCode, name), "on purpose", trailing)
        raise AssertionError

    async def stream(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            if request == b"fail":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "on purpose")
            yield request

    async def nothing(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            pass
        for answer in list[bytes]():
            yield answer

    async def hang(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"started"
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def serve(handlers: Handlers) -> AsyncIterator[Callable[..., Any]]:
    """Give a function that starts a server and returns its address."""
    servers: list[aio.Server] = []

    async def start(address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None) -> str:
        server = aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((handlers,))
        port = (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
        await server.start()
        servers.append(server)
        return f"127.0.0.1:{port}" if address.startswith("127") else address

    yield start
    while servers:
        await servers.pop().stop(None)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., GrpcTransport]]:
    """Give a function that makes a transport; all are closed at the end."""
    made: list[GrpcTransport] = []

    def make(base: str, **options: Any) -> GrpcTransport:
        made.append(GrpcTransport(Target.parse(base), Transmission(**options)))
        return made[-1]

    yield make
    while made:
        await made.pop().close(0)


Serve = Callable[..., Any]
Connect = Callable[..., GrpcTransport]


async def open_call(transport: GrpcTransport, method: str = STREAM) -> Call:
    await transport.connect(5)
    return transport.open(method, ())


async def test_calls_of_both_kinds(serve: Serve, connect: Connect, handlers: Handlers, tmp_path: Path) -> None:
    for address in (await serve(), await serve(f"unix:{tmp_path}/s")):
        transport = connect(address)
        assert isinstance(transport, Transport)
        assert not transport.healthy
        await transport.connect(5)
        assert transport.healthy
        parts = [b"a", bytearray(b"b"), memoryview(b"xcx")[1:2]]
        assert await transport.unary(ECHO, parts, [("x-test", "1")], 5) == b"abc"
        assert handlers.metadata["x-test"] == "1"
        call = await open_call(transport)
        for message in (b"one", b"two"):
            await call.write([message])
            assert await call.read() == message
        await call.half_close()
        assert await call.read() is None


async def test_each_transport_is_a_connection_of_its_own(serve: Serve, connect: Connect) -> None:
    address = await serve()
    peers = {await connect(address).unary(PEER, [b""], (), 5) for _ in range(3)}
    assert len(peers) == 3


@pytest.mark.parametrize(
    ("sent", "cls", "hint"),
    [
        ("UNAUTHENTICATED", errors.AuthError, None),
        ("UNAVAILABLE retry-after=3", errors.ConnectionLost, 3.0),
        ("RESOURCE_EXHAUSTED grpc-retry-pushback-ms=250", errors.Throttled, 0.25),
        ("RESOURCE_EXHAUSTED retry-after=soon", errors.Throttled, None),
        ("INTERNAL", errors.PredictionFailed, None),
    ],
)
async def test_a_status_becomes_its_error(
    serve: Serve, connect: Connect, sent: str, cls: type[Exception], hint: float | None
) -> None:
    with pytest.raises(cls, match="on purpose") as caught:
        await connect(await serve()).unary(FAIL, [sent.encode()], (), 5)
    assert caught.value.retry_after == hint  # type: ignore[attr-defined]
    assert caught.value.__cause__ is None


async def test_a_failing_stream_tells_on_reading(serve: Serve, connect: Connect) -> None:
    call = await open_call(connect(await serve()))
    await call.write([b"x"])
    assert await call.read() == b"x"
    await call.write([b"fail"])
    with pytest.raises(errors.ConnectionLost, match="on purpose"):
        await call.read()
    with contextlib.suppress(errors.TransportError):
        await call.write([b"late"])
    await call.half_close()
    call.cancel()


async def test_a_call_opened_with_its_only_message(serve: Serve, connect: Connect, handlers: Handlers) -> None:
    transport = connect(await serve())
    for _ in range(2):
        call = transport.open(STREAM, [("x-test", "1")], first=[b"a", memoryview(b"b")])
        assert await call.read() == b"ab"
        assert await call.read() is None
    assert handlers.metadata["x-test"] == "1"
    assert await transport.open(NOTHING, (), first=[b"x"]).read() is None
    with pytest.raises(errors.ConnectionLost, match="on purpose"):
        await transport.open(STREAM, (), first=[b"fail"]).read()
    hanging = transport.open(HANG, (), first=[b"x"])
    assert await hanging.read() == b"started"
    reading = asyncio.create_task(hanging.read())
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(errors.ConnectionLost, match="locally"):
        await reading
    while not handlers.cancelled:
        await asyncio.sleep(0.001)
    await transport.close(0)
    with pytest.raises(errors.ClosedError):
        transport.open(STREAM, (), first=[b"x"])


async def test_asking_where_nobody_is_tells_so_on_reading(connect: Connect) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(errors.ConnectFailed):
        await connect(address).open(STREAM, (), first=[b"x"]).read()


async def test_a_deadline_is_its_own_error(serve: Serve, connect: Connect) -> None:
    transport = connect(await serve())
    await transport.connect(5)
    with pytest.raises(errors.DeadlineExceeded):
        await transport.unary(HANG, [b""], (), 0.05)


@pytest.mark.parametrize("seconds", [1e9, 1e12, 1e300])
async def test_a_deadline_in_the_far_future_is_not_past(serve: Serve, connect: Connect, seconds: float) -> None:
    assert await connect(await serve()).unary(ECHO, [b"x"], (), seconds) == b"x"


async def test_a_large_message_is_too_large(serve: Serve, connect: Connect) -> None:
    address = await serve()
    assert len(await connect(address, message_bytes=1 << 20).unary(ECHO, [b"x" * (1 << 19)], (), 5)) == 1 << 19
    with pytest.raises(errors.PayloadTooLarge, match="larger than max"):
        await connect(address, message_bytes=1000).unary(ECHO, [b"x" * 2000], (), 5)


# -- connecting


async def test_nobody_there(connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        transport = connect(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(errors.ConnectFailed, match="refused"):
            await transport.connect(5)
        with pytest.raises(errors.ConnectFailed):
            await transport.unary(ECHO, [b""], (), 5)
        assert not transport.healthy


async def test_somebody_who_never_answers(connect: Connect) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(errors.ConnectFailed, match=r"no connection within 0\.1 s"):
            await connect(f"127.0.0.1:{silent.getsockname()[1]}").connect(0.1)


async def test_proxies_are_bypassed_on_loopback(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await connect(await serve()).unary(ECHO, [b"x"], (), 5) == b"x"


# -- whose end it is


async def test_a_call_that_we_cancel_is_lost_and_not_a_cancellation(
    serve: Serve, connect: Connect, handlers: Handlers
) -> None:
    call = await open_call(connect(await serve()), HANG)
    assert await call.read() == b"started"
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    call.cancel()
    call.cancel()
    with pytest.raises(errors.ConnectionLost, match="locally"):
        await reading
    while not handlers.cancelled:
        await asyncio.sleep(0.001)


async def test_a_task_that_is_cancelled_is_cancelled(serve: Serve, connect: Connect) -> None:
    transport = connect(await serve())
    call = await open_call(transport, HANG)
    await call.read()
    for waiting in (call.read(), transport.unary(HANG, [b""], (), None)):
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    call.cancel()


async def test_closing_ends_what_runs_with_an_error_that_says_so(serve: Serve, connect: Connect) -> None:
    transport = connect(await serve())
    call = await open_call(transport, HANG)
    await call.read()
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    await transport.close(0)
    with pytest.raises(errors.ClosedError):
        await reading
    for attempt in (transport.unary(ECHO, [b""], (), 5), transport.connect(1)):
        with pytest.raises(errors.ClosedError):
            await attempt
    with pytest.raises(errors.ClosedError):
        transport.open(STREAM, ())
    await transport.close(0)
    assert not transport.healthy


@pytest.mark.parametrize("size", [1, client.SCARCE_BYTES], ids=["small", "large"])
async def test_success_without_an_answer_is_an_error(size: int, serve: Serve, connect: Connect) -> None:
    transport = connect(await serve())
    with pytest.raises(errors.ServerError) as caught:
        await transport.unary(NOTHING, [bytes(size)], (), 5)
    assert caught.value.name in ("INTERNAL", "UNIMPLEMENTED")  # newer gRPC says so itself


@pytest.mark.parametrize(
    ("left", "kind"), [(None, errors.ServerError), (1.0, errors.ServerError), (0.0, errors.DeadlineExceeded)]
)
def test_success_without_an_answer_at_the_deadline_is_its_end(
    left: float | None, kind: type[errors.HeadraceError]
) -> None:
    call = SimpleNamespace(time_remaining=lambda: left)
    error = GrpcTransport(Target.parse("127.0.0.1:1"), Transmission())._unanswered(call)
    assert isinstance(error, kind)


async def test_closing_lets_calls_finish_within_its_grace(serve: Serve, connect: Connect) -> None:
    transport = connect(await serve())
    call = await open_call(transport)
    await call.write([b"x"])
    closing = asyncio.create_task(transport.close(5))
    await asyncio.sleep(0.01)
    assert await call.read() == b"x"
    await call.half_close()
    assert await call.read() is None
    await asyncio.wait_for(closing, 2)


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_address(serve: Serve, authority: trustme.CA) -> str:
    own = authority.issue_cert("localhost")
    pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    port = (await serve(credentials=grpc.ssl_server_credentials([pair]))).rpartition(":")[2]
    return f"https://localhost:{port}"


async def reaches(transport: GrpcTransport) -> bool:
    try:
        await transport.connect(5)
        return await transport.unary(ECHO, [b"x"], (), 5) == b"x"
    except errors.ConnectFailed:
        return False


async def test_a_server_is_trusted_by_its_authority_alone(
    tls_address: str, connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    pem = authority.cert_pem.bytes()
    path = tmp_path / "ca.pem"
    path.write_bytes(pem)
    for roots in (pem, path, str(path)):
        assert await reaches(connect(tls_address, tls=TLS(roots)))
    assert not await reaches(connect(tls_address))
    assert not await reaches(connect(tls_address, tls=TLS(trustme.CA().cert_pem.bytes())))


async def test_the_name_in_the_certificate_counts(tls_address: str, connect: Connect, authority: trustme.CA) -> None:
    address = tls_address.replace("localhost", "127.0.0.1")
    roots = authority.cert_pem.bytes()
    assert not await reaches(connect(address, tls=TLS(roots)))
    assert await reaches(connect(address, tls=TLS(roots, server_name="localhost")))


@pytest.mark.parametrize(
    ("slip", "advice"),
    [
        ("plain to TLS", "https://"),
        ("TLS to plain", "http://"),
        ("unknown authority", "root_certificates_path="),
        ("another name", "for another name"),
    ],
)
async def test_a_slip_with_tls_is_named_with_what_to_do(
    slip: str,
    advice: str,
    tls_address: str,
    serve: Serve,
    connect: Connect,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "LOOK", 30.0)  # the machine may be busy
    roots = authority.cert_pem.bytes()
    transport = {
        "plain to TLS": lambda: connect(tls_address.replace("https", "http")),
        "unknown authority": lambda: connect(tls_address),
        "another name": lambda: connect(tls_address.replace("localhost", "127.0.0.1"), tls=TLS(roots)),
    }.get(slip)
    made = transport() if transport is not None else connect(f"https://{await serve()}", tls=TLS(roots))
    with pytest.raises(errors.ConnectFailed, match=advice) as caught:
        await made.connect(30)
    assert caught.value.permanent


async def test_the_server_may_ask_who_we_are(serve: Serve, connect: Connect, authority: trustme.CA) -> None:
    own, mine = authority.issue_cert("localhost"), authority.issue_cert("me")
    roots = authority.cert_pem.bytes()
    pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    port = (await serve(credentials=grpc.ssl_server_credentials([pair], roots, True))).rpartition(":")[2]
    address = f"https://localhost:{port}"
    key, certificate = mine.private_key_pem.bytes(), mine.cert_chain_pems[0].bytes()
    assert await reaches(connect(address, tls=TLS(roots, certificate, key)))
    with pytest.raises(errors.TransportError):
        await connect(address, tls=TLS(roots)).unary(ECHO, [b"x"], (), 5)


async def test_certificates_that_cannot_be_read_are_named(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("CANARY")
    with pytest.raises(errors.ConfigError, match=r"cannot read root_certificates from .*gone"):
        await connect("https://h", tls=TLS(tmp_path / "gone")).connect(1)
    with pytest.raises(errors.ConfigError, match="no PEM block") as caught:
        await connect("https://h", tls=TLS(tmp_path / "text")).connect(1)
    assert "CANARY" not in str(caught.value)


# -- settings


def test_settings_of_a_channel() -> None:
    options = dict(channel.channel_options(Target.parse("https://h"), Transmission(connect_timeout=3.0)))
    assert options["grpc.enable_retries"] == 0
    assert options["grpc.use_local_subchannel_pool"] == 1
    assert options["grpc.min_reconnect_backoff_ms"] >= 3000  # one attempt may take so long
    assert options["grpc.max_reconnect_backoff_ms"] <= 500
    assert options["grpc.keepalive_time_ms"] == 60_000
    assert "grpc.enable_http_proxy" not in options
    assert "grpc.http2.max_pings_without_data" not in options  # servers close connections over it
    local = Target.parse("unix:/x")
    options = dict(channel.channel_options(local, Transmission(keepalive=KeepAlive(interval=None))))
    assert options["grpc.enable_http_proxy"] == 0
    assert options["grpc.default_authority"] == "localhost"
    assert "grpc.keepalive_time_ms" not in options


async def test_very_long_times_fit_the_settings(serve: Serve, connect: Connect) -> None:
    keepalive = KeepAlive(interval=1e9, timeout=1e9)
    assert await connect(await serve(), connect_timeout=1e9, keepalive=keepalive).unary(ECHO, [b"x"], (), 5) == b"x"


def test_one_part_is_not_copied() -> None:
    part = b"x" * 100
    assert calls.joined([part]) is part
    assert calls.joined([part, bytearray(b"y")]) == part + b"y"
