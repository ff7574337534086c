"""Connecting: what answers where HTTP/2 was expected, TLS, proxies, deadlines; and what a first call imports."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from headrace import errors
from headrace.config import TLS, Target, Transmission
from headrace.transport.h2.proxy import proxy_of
from headrace.transport.h2.transport import H2Transport
from tests.support.frames import GOAWAY, FrameServer, answer

pytestmark = pytest.mark.core

METHOD = "/test.T/Method"
AUTHORITY = trustme.CA()


def pem(authority: trustme.CA) -> bytes:
    return bytes(authority.cert_pem.bytes())


def server_context(*names: str, alpn: tuple[str, ...] = ("h2",), client: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client is not None:
        client.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.asynccontextmanager
async def transport_to(address: str, **options: Any) -> AsyncIterator[H2Transport]:
    transport = H2Transport(Target.parse(address), Transmission(**options))
    try:
        yield transport
    finally:
        await transport.close(0)


async def failure(address: str, timeout: float = 5, **options: Any) -> errors.ConnectFailed:
    """Give the error of connecting, which a call fails with as well."""
    async with transport_to(address, **options) as transport:
        with pytest.raises(errors.ConnectFailed) as caught:
            await transport.connect(timeout)
        if timeout >= 5:
            with pytest.raises(errors.ConnectFailed):
                await transport.unary(METHOD, [b""], (), 20)
        assert not transport.healthy
        return caught.value


@contextlib.asynccontextmanager
async def listening(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()


def says(data: bytes, *, then_waits: bool = False) -> Callable[..., Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(data)
        await writer.drain()
        if then_waits:
            await reader.read()

    return serve


# -- what answers


@pytest.mark.case("H2-3.4-05", "H2-3.4-06", "H2-3.4-07", "H2-3.4-08")
@pytest.mark.parametrize(
    ("said", "text", "permanent"),
    [
        (b"<!DOCTYPE HTML>\n<html>", "speaks no HTTP/2 there.*check base_url=.*<!DOCTYPE HTML> <html>", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "speaks no HTTP/2 there.*SSH-2.0", True),
        (b"-ERR unknown command\r\n", "speaks no HTTP/2 there.*-ERR unknown", True),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "speaks HTTP/1.1.*check base_url=.*400 Bad", True),
        (b"\x15\x03\x03\x00\x02\x02\x28", "speaks TLS: write https://", True),
        (b"", "closed the connection before its HTTP/2 settings came: is it a gRPC port. check base_url=", False),
        (b"\xff" * 400, "violated HTTP/2: .*: is it a gRPC port. check base_url=", False),
        (b"\0\0\x06\x04\0", "closed the connection before its HTTP/2 settings", False),
        (b"\0\0\0\4\0\0\0\0\0\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\0", "GOAWAY", False),
    ],
    ids=["page", "SSH", "Redis", "HTTP/1.1", "TLS", "nothing", "garbage", "half a frame", "GOAWAY"],
)
async def test_h2_3_4_what_a_server_says_first(said: bytes, text: str, permanent: bool) -> None:
    async with listening(says(said)) as port:
        error = await failure(f"http://127.0.0.1:{port}")
    assert re.search(text, str(error)), error
    assert error.permanent is permanent


@pytest.mark.case("H2-3.4-04")
async def test_h2_3_4_04_a_silent_server_is_given_up_in_time() -> None:
    async with listening(says(b"", then_waits=True)) as port:
        error = await failure(f"http://127.0.0.1:{port}", 0.1)
    assert "0.1 s (waiting for the server's HTTP/2 settings); it takes connections and says nothing" in str(error)
    assert "check base_url=" in str(error)


@pytest.mark.case("C-01", "C-02", "C-14")
async def test_c_01_and_c_02_nobody_and_no_such_name(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "refused" in str(await failure(f"http://127.0.0.1:{port}"))
    assert "No such file" in str(await failure(f"unix:{tmp_path}/nobody"))
    assert "nobody.invalid" in str(await failure("http://nobody.invalid:80"))


@pytest.mark.case("C-03", "C-04")
async def test_c_03_and_c_04_hosts_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FrameServer() as server:
        loop = asyncio.get_running_loop()
        resolve = loop.getaddrinfo

        async def several(name: bytes, port: int, **options: Any) -> list[Any]:
            (good,) = await resolve("127.0.0.1", port, **options)
            silent = [(*good[:4], ("192.0.2.1", port))]  # for documentation: nobody answers
            refusing = [(*good[:4], ("127.0.0.1", 1))] * 2
            return {b"silent": [*silent, good], b"refusing": [*refusing, good], b"none": refusing}[
                name.partition(b".")[0]
            ]

        monkeypatch.setattr(loop, "getaddrinfo", several)
        for host in ("silent", "refusing"):
            async with transport_to(f"http://{host}.example:{server.port}") as transport:
                await transport.connect(5)
                assert await transport.unary(METHOD, [b""], (), 5) == b"answer"
        error = await failure("http://none.example:80")
        assert str(error).count("refused") == 2


@pytest.mark.case("C-17", "C-19")
async def test_c_17_one_attempt_serves_all_calls_and_c_19_each_keeps_its_deadline() -> None:
    async with FrameServer(greet=False) as server, transport_to(server.address) as transport:
        hasty = asyncio.ensure_future(transport.unary(METHOD, [b""], (), 0.05))
        patient = [asyncio.ensure_future(transport.unary(METHOD, [b""], (), 20)) for _ in range(50)]
        with pytest.raises(errors.DeadlineExceeded):
            await hasty
        await server.until(lambda: server.peers and server.peer.frames)
        server.peer.send(b"\0\0\0\4\0\0\0\0\0")
        assert set(await asyncio.gather(*patient)) == {b"answer"}
        assert len(server.peers) == 1


async def test_connecting_ends_when_nobody_waits_for_it_any_more() -> None:
    async with FrameServer(greet=False) as server, transport_to(server.address) as transport:
        connecting = asyncio.ensure_future(transport.connect(20))
        await server.until(lambda: server.peers)
        connecting.cancel()
        await server.until(lambda: server.peer.closed)


# -- TLS


@pytest.mark.case("C-07", "C-09")
async def test_c_07_to_c_09_tls_that_works() -> None:
    clients = trustme.CA()
    ours = clients.issue_cert("client")
    tls = TLS(
        root_certificates=pem(AUTHORITY),
        certificate=bytes(ours.cert_chain_pems[0].bytes()),
        key=bytes(ours.private_key_pem.bytes()),
        server_name="model.example",
    )
    context = server_context("model.example", client=clients)
    async with FrameServer(ssl_context=context) as server, transport_to(server.address, tls=tls) as transport:
        await transport.connect(5)
        assert await transport.unary(METHOD, [b"x" * 100_000], (), 5) == b"answer"
        assert server.peer.requests[1][":scheme"] == "https"
        assert server.peer.requests[1][":authority"] == "model.example"


@pytest.mark.parametrize(
    ("context", "tls", "text"),
    [
        (server_context, TLS(), "not trusted.*root_certificates_path="),
        (lambda: server_context("other.example"), TLS(root_certificates=pem(AUTHORITY)), "for another name"),
        (lambda: server_context(alpn=("http/1.1",)), TLS(root_certificates=pem(AUTHORITY)), "no HTTP/2"),
        (lambda: server_context(alpn=()), TLS(root_certificates=pem(AUTHORITY)), "no HTTP/2"),
        (lambda: server_context(client=AUTHORITY), TLS(root_certificates=pem(AUTHORITY)), "client certificate"),
    ],
    ids=["C-06 untrusted", "C-06 name", "C-07 http/1.1", "C-07 none", "C-09 not given"],
)
async def test_tls_that_fails_says_why(context: Callable[[], ssl.SSLContext], tls: TLS, text: str) -> None:
    async with FrameServer(ssl_context=context()) as server:
        error = await failure(server.address, tls=tls)
    assert re.search(text, str(error)), error
    assert error.permanent is ("client" not in text)  # which may as well be something else


async def test_tls_where_there_is_none_and_none_where_there_is() -> None:
    async with FrameServer() as server:
        error = await failure(server.address.replace("http:", "https:"))
        assert "speaks no TLS there: write http://" in str(error)
        assert error.permanent
    async with FrameServer(ssl_context=server_context()) as server:
        error = await failure(server.address.replace("https:", "http:"))
        assert "speaks TLS: write https://" in str(error)
        assert error.permanent


async def test_a_certificate_that_cannot_be_read_is_named() -> None:
    async with transport_to("https://127.0.0.1:1", tls=TLS(root_certificates="/nowhere.pem")) as transport:
        with pytest.raises(errors.ConfigError, match="root_certificates"):
            await transport.connect(5)


# -- proxies


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)

    def use(url: str) -> None:
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("http_proxy", url)

    return use


@pytest.mark.case("C-11")
@pytest.mark.parametrize("tls", [True, False], ids=["TLS inside", "plain inside"])
async def test_c_11_a_tunnel_through_a_proxy(tls: bool, proxied: Callable[[str], None]) -> None:
    asked: list[bytes] = []
    context = server_context("model.example") if tls else None
    async with FrameServer(ssl_context=context) as server:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            first = b"" if tls else await up_reader.read(9)  # glued to the answer
            for byte in b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r":
                writer.write(bytes((byte,)))
                await writer.drain()
            writer.write(b"\n" + first)

            async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(65_536):
                    target.write(data)
                target.close()

            try:
                await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
            finally:
                up_writer.transport.abort()

        async with listening(proxy) as port:
            proxied(f"http://user:p%40ss@127.0.0.1:{port}")
            address = f"{'https' if tls else 'http'}://model.example:8443"
            roots = TLS(root_certificates=pem(AUTHORITY))
            async with transport_to(address, tls=roots) as transport:
                await transport.connect(5)
                assert await transport.unary(METHOD, [b"x"], (), 5) == b"answer"
    assert asked[0].startswith(b"CONNECT model.example:8443 HTTP/1.1\r\nHost: model.example:8443\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in asked[0]


@pytest.mark.case("C-12")
@pytest.mark.parametrize(
    ("said", "text", "permanent"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused the tunnel: HTTP/1.1 403 Forbidden", True),
        (b"HTTP/1.1 407 Authenticate\r\n\r\n", "407 Authenticate; write its credentials into https_proxy", True),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", False),
        (b"garbage\r\n\r\n", "gave no HTTP answer", False),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20_000, "gave no HTTP answer", False),
        (b"", "without an answer", False),
    ],
    ids=["403", "407", "502", "garbage", "endless", "close"],
)
async def test_c_12_a_proxy_that_refuses(
    said: bytes, text: str, permanent: bool, proxied: Callable[[str], None]
) -> None:
    async with listening(says(said)) as port:
        proxied(f"http://user:secret@127.0.0.1:{port}")
        error = await failure("https://model.example")
    assert text in str(error)
    assert f"the proxy 127.0.0.1:{port}" in str(error)
    assert "secret" not in repr(error)
    assert error.permanent is permanent


@pytest.mark.case("C-12")
async def test_a_proxy_that_nobody_answers_at_is_named(proxied: Callable[[str], None]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    proxied(f"http://user:secret@127.0.0.1:{port}")
    error = await failure("https://model.example")
    assert f"no connection to the proxy 127.0.0.1:{port}: Connection refused" in str(error)
    proxied("http://proxy.invalid:1")
    assert "no connection to the proxy proxy.invalid:1: " in str(await failure("https://model.example"))


@pytest.mark.case("C-12", "AT-23")
@pytest.mark.parametrize(
    "url",
    [
        "http://u:secret@127.0.0.1:99999",
        "http://u:secret@127.0.0.1:port",
        "http://u:secret@[::1",
        "http://",
        "http://:1",
        "https://u:secret@proxy:1",
        "socks5://u:secret@proxy:1",
    ],
)
async def test_a_proxy_that_is_written_in_another_way_fails_every_call_and_tells_no_secret(
    url: str, proxied: Callable[[str], None]
) -> None:
    proxied(url)
    async with transport_to("https://model.example") as transport:
        for attempt in (transport.connect(5), transport.unary(METHOD, [b""], (), 5)):
            with pytest.raises(errors.ConfigError, match="a proxy is written as http://host:port") as caught:
                await attempt
            assert "secret" not in repr(caught.value)


@pytest.mark.case("C-02")
async def test_a_name_that_no_certificate_can_have_fails_every_call() -> None:
    async with FrameServer(ssl_context=server_context()) as server:
        error = await failure(server.address, tls=TLS(root_certificates=pem(AUTHORITY), server_name=".example"))
    assert "cannot connect" in str(error)


@pytest.mark.case("C-13")
async def test_c_13_when_there_is_no_proxy(proxied: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    proxied("http://127.0.0.1:1")
    async with FrameServer() as server, transport_to(server.address) as transport:
        await transport.connect(5)  # loopback: never by a proxy
    assert "refused" in str(await failure("http://model.invalid:80"))
    monkeypatch.setenv("no_proxy", ".invalid")
    assert "connecting to model.invalid" in str(await failure("http://model.invalid:80"))
    proxied("socks5://127.0.0.1:1")
    async with transport_to("http://model.example") as transport:
        with pytest.raises(errors.ConfigError, match="http://host:port"):
            await transport.connect(5)


@pytest.mark.case("C-13")
@pytest.mark.parametrize(
    ("variables", "address", "used"),
    [
        ({}, "https://h", None),
        ({"https_proxy": "b"}, "https://h", "b"),
        ({"https_proxy": "b"}, "http://h", "b"),  # as over gRPC, whose names these are
        ({"http_proxy": "c"}, "https://h", "c"),
        ({"https_proxy": "b", "http_proxy": "c"}, "http://h", "b"),
        ({"grpc_proxy": "a", "https_proxy": "b"}, "https://h", "a"),
        ({"HTTPS_PROXY": "b"}, "https://h", "b"),
        ({"HTTPS_PROXY": "b", "https_proxy": "d"}, "https://h", "d"),
        ({"HTTP_PROXY": "c"}, "http://h", "c"),
        ({"HTTP_PROXY": "c", "REQUEST_METHOD": "GET"}, "http://h", None),
        ({"all_proxy": "c"}, "http://h", None),
        ({"https_proxy": "b", "no_proxy": "h"}, "https://h", None),
        ({"https_proxy": "b", "NO_PROXY": "x, h ,y"}, "https://h", None),
        ({"https_proxy": "b", "no_proxy": "x h y"}, "https://h", None),
        ({"https_proxy": "b", "no_proxy": "*"}, "https://h", None),
        ({"https_proxy": "b", "no_proxy": ""}, "https://h", "b"),
        ({"https_proxy": "b", "no_proxy": ","}, "https://h", "b"),
        ({"https_proxy": "b", "no_proxy": "h", "no_grpc_proxy": "i"}, "https://h", "b"),
        ({"https_proxy": "b", "no_grpc_proxy": "h"}, "https://h", None),
        ({"https_proxy": "b", "no_proxy": "Example.com"}, "https://api.EXAMPLE.com", None),
        ({"https_proxy": "b", "no_proxy": ".example.com"}, "https://api.example.com", None),
        ({"https_proxy": "b", "no_proxy": "*.example.com"}, "https://api.example.com", None),
        ({"https_proxy": "b", "no_proxy": "example.com"}, "https://badexample.com", "b"),
        ({"https_proxy": "b", "no_proxy": "h:443"}, "https://h", None),
        ({"https_proxy": "b", "no_proxy": "h:444"}, "https://h", "b"),
        ({"https_proxy": "b", "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"https_proxy": "b", "no_proxy": "10.0.0.0/8"}, "https://11.1.2.3", "b"),
        ({"https_proxy": "b", "no_proxy": "2001:db8::/32"}, "https://[2001:db8::1]", None),
        ({"https_proxy": "b", "no_proxy": "2001:db8::1"}, "https://[2001:db8::1]", None),
        ({"https_proxy": "b", "no_proxy": "[2001:db8::1]:443"}, "https://[2001:db8::1]", None),
        ({"https_proxy": "b"}, "http://localhost", None),
        ({"https_proxy": "b"}, "https://127.0.0.2", None),
    ],
)
def test_which_proxy_is_used(
    variables: dict[str, str],
    address: str,
    used: str | None,
    proxied: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, f"http://{value}:1" if name.lower() in PROXY_NAMES else value)
    proxy = proxy_of(Target.parse(address))
    assert (proxy.host if proxy is not None else None) == used


PROXY_NAMES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy")

SILENT_IN = {
    "TCP": ("http://127.0.0.1:{port}", None, "connecting to 127.0.0.1"),
    "proxy": ("http://model.example:80", None, "connecting through the proxy 127.0.0.1"),
    "TLS": ("https://127.0.0.1:{port}", None, "agreeing on TLS with 127.0.0.1"),
    "TLS in a tunnel": (
        "https://model.example",
        b"HTTP/1.1 200 OK\r\n\r\n",
        "agreeing on TLS with model.example through",
    ),
    "settings": ("http://127.0.0.1:{port}", None, "waiting for the server's HTTP/2 settings"),
}


@pytest.mark.case("C-05")
@pytest.mark.parametrize(("address", "said", "doing"), SILENT_IN.values(), ids=SILENT_IN)
async def test_one_timeout_over_all_of_it_names_what_was_silent(
    address: str, said: bytes | None, doing: str, proxied: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if said:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
        await reader.read()

    if doing == "connecting to 127.0.0.1":

        async def never(*args: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    async with listening(serve) as port:
        proxied(f"http://127.0.0.1:{port}")
        for seconds in (0.2, 1, 4):  # on a busy machine it is not as far after the first
            error = await failure(address.format(port=port), seconds, tls=TLS(root_certificates=pem(AUTHORITY)))
            assert f"no connection within {seconds:g} s (" in str(error)
            if doing in str(error):
                return
    pytest.fail(str(error))


def old_tls() -> ssl.SSLContext:
    context = server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def forbidden_suite() -> ssl.SSLContext:
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256")
    return context


@pytest.mark.case("C-08")
@pytest.mark.parametrize("make", [old_tls, forbidden_suite])
async def test_tls_that_http2_forbids_is_refused(make: Callable[[], ssl.SSLContext]) -> None:
    async with FrameServer(ssl_context=make()) as server:
        error = await failure(server.address, tls=TLS(root_certificates=pem(AUTHORITY)))
    assert "TLS" in str(error)


@pytest.mark.case("C-08")
async def test_the_hello_names_the_host_and_h2() -> None:
    hello: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.append(await reader.read(4_096))

    async with listening(record) as port:
        await failure(f"https://localhost:{port}", tls=TLS(server_name="model.example"))
    assert b"model.example" in hello[0]
    assert b"\x00\x03\x02h2" in hello[0]  # ALPN: one name
    assert b"\x03\x01" not in hello[0][9:11]  # the version that it offers is no TLS 1.0


@pytest.mark.case("C-10")
@pytest.mark.parametrize("amid", ["records", "a record"])
async def test_tls_that_ends_without_a_goodbye_is_a_connection_that_ended(amid: str) -> None:
    async with FrameServer(lambda peer, stream: None, ssl_context=server_context("model.example")) as server:
        relays: list[asyncio.StreamWriter] = []
        cut = asyncio.Event()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            relays.extend((writer, up_writer))

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, cuts: bool) -> None:
                while data := await source.read(65_536):
                    if cuts and cut.is_set():
                        sink.write(data[: len(data) // 2] if amid == "a record" else b"")
                        await sink.drain()
                        sink.close()
                        return
                    sink.write(data)

            await asyncio.gather(pump(reader, up_writer, cuts=False), pump(up_reader, writer, cuts=True))

        async with listening(relay) as port:
            tls = TLS(root_certificates=pem(AUTHORITY), server_name="model.example")
            async with transport_to(f"https://127.0.0.1:{port}", tls=tls) as transport:
                running = asyncio.ensure_future(transport.unary(METHOD, [b"x"], (), 20))
                await server.until(lambda: server.requests)
                cut.set()
                server.peer.answer(1)
                with pytest.raises(errors.ConnectionLost) as caught:
                    await running
                assert not caught.value.unprocessed
                assert not transport.healthy
            for writer in relays:
                writer.transport.abort()


# -- imports, forks


FIRST_CALL = """
import asyncio, sys
from headrace import Client

async def main():
    async with Client(base_url=sys.argv[1], transport="h2") as client:
        model = client.model(user_id="u", app_id="a", model_id="m")
        print((await model.predict_by_bytes(b"hello", "text")).text)

asyncio.run(main())
assert "grpc" not in sys.modules, "grpc was imported"
"""


async def test_a_client_and_its_first_call_never_import_grpc(tmp_path: Path) -> None:
    from headrace.testing import ModelDouble
    from tests.support.bridge import GrpcServer

    async with GrpcServer(ModelDouble(lambda item: item.text), f"unix:{tmp_path}/s") as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FIRST_CALL, server.address, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, problems = await process.communicate()
    assert (output, process.returncode) == (b"hello\n", 0), problems.decode()


async def test_a_child_lets_go_of_what_it_inherited_and_the_parent_goes_on() -> None:
    async with FrameServer() as server, transport_to(server.address) as transport:
        await transport.connect(5)
        child = os.fork()
        if not child:
            transport.discard()
            os._exit(0 if not transport.healthy else 1)
        assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)
        assert await transport.unary(METHOD, [b""], (), 5) == b"answer"


def test_what_is_discarded_after_its_loop_leaves_no_warning() -> None:
    async def connect() -> H2Transport:
        async with FrameServer() as server:
            transport = H2Transport(Target.parse(server.address), Transmission())
            await transport.connect(5)
            return transport

    transport = asyncio.run(connect())
    transport.discard()
    transport.discard()
    assert not transport.healthy


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("in_a_call", [False, True], ids=["idle", "in a call"])
async def test_at_the_end_of_its_loop_it_takes_leave_of_the_server(in_a_call: bool, tls: bool) -> None:
    """`asyncio.run` ends before `close`: the server sees a GOAWAY and the end, and Python warns of nothing."""

    async def main() -> None:
        await transport.connect(5)
        running = asyncio.ensure_future(transport.unary(METHOD, [b""], (), 5))
        while not server.requests:
            await asyncio.sleep(0.01)
        if not in_a_call:
            await running

    server = FrameServer(
        (lambda peer, stream: None) if in_a_call else answer, ssl_context=server_context() if tls else None
    )
    async with server:
        options = Transmission(tls=TLS(root_certificates=pem(AUTHORITY)))
        transport = H2Transport(Target.parse(server.address), options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await asyncio.to_thread(lambda: asyncio.run(main()))
            transport.discard()
            gc.collect()
        assert [str(warning.message) for warning in caught] == []
        await server.until(lambda: server.peer.closed and server.peer.of(GOAWAY))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_it_runs_on_uvloop_as_well(tls: bool) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        server = FrameServer(ssl_context=server_context() if tls else None)
        roots = TLS(root_certificates=pem(AUTHORITY))
        async with server, transport_to(server.address, tls=roots) as transport:
            await transport.connect(5)
            calls = [transport.unary(METHOD, [bytes(300_000)], (), 5) for _ in range(20)]
            assert set(await asyncio.gather(*calls)) == {b"answer"}
            assert server.requests == 20

    uvloop.run(main())
