"""Fetching URLs: from a web server in this process that answers as each path says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme

from headrace.server import addresses
from headrace.server.fetch import Fetcher
from headrace.server.model import ModelError

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Web:
    """A web server on loopback; keeps the requests that came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[str] = []

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if "content_length" not in headers:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    here = Web(0)
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        here.requests.append(request)
        path = request.split(" ")[1]
        pages = {
            "/photo": response(b"photo", content_type="image/jpeg"),
            "/page": response(b"<html>", content_type="text/html; charset=utf-8"),
            "/empty": response(b""),
            "/gone": response(b"", "404 Not Found"),
            "/auto": response(b"", "302 Found", location=here.url("/photo")),
            "/relative": response(b"", "307 Temporary Redirect", location="/photo"),
            "/loop": response(b"", "302 Found", location="/loop"),
            "/inward": response(b"", "302 Found", location=here.url("/photo", "inward.test")),
            "/file": response(b"", "302 Found", location="file:///etc/passwd"),
            "/said-large": response(b"", content_length="20971521"),
            "/packed": response(b"x", content_encoding="gzip"),
            "/short": response(b"x", content_length="10"),
        }
        if path == "/never":
            await asyncio.sleep(60)
        elif path == "/large":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"x" * 1_000_000)
                    await writer.drain()
        else:
            writer.write(pages[path])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    yield here
    server.close()
    for task in tasks:
        if task is not None:
            task.cancel()
    await asyncio.gather(*(t for t in tasks if t is not None), return_exceptions=True)


@pytest.fixture
async def private() -> AsyncIterator[Fetcher]:
    """A fetcher that may fetch from this machine."""
    async with Fetcher(allow_private=True, timeout=5) as fetcher:
        yield fetcher


async def code_of(work: Awaitable[object]) -> tuple[int, str]:
    with pytest.raises(ModelError) as caught:
        await work
    return caught.value.code, caught.value.description


@pytest.mark.parametrize("path", ["/photo", "/auto", "/relative"])
async def test_a_picture_is_fetched_also_through_redirects(web: Web, private: Fetcher, path: str) -> None:
    assert await private.fetch(web.url(path), "image") == b"photo"


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("/gone", 30002, "HTTP 404"),
        ("/page", 30101, "web page"),
        ("/empty", 30002, "no data"),
        ("/loop", 30002, "more than 5 times"),
        ("/file", 30106, "http"),
        ("/said-large", 30105, "20,971,521"),
        ("/large", 30105, "larger"),
        ("/packed", 30002, "compressed"),
        ("/short", 30002, "cannot be fetched"),
    ],
)
async def test_what_cannot_be_had_has_its_own_code(web: Web, private: Fetcher, path: str, code: int, word: str) -> None:
    found, description = await code_of(private.fetch(web.url(path), "image"))
    assert found == code
    assert word in description


async def test_videos_have_codes_of_their_own(web: Web, private: Fetcher) -> None:
    assert (await code_of(private.fetch(web.url("/gone"), "video")))[0] == 31002
    assert (await code_of(private.fetch("ftp://x/y", "video")))[0] == 31106


async def test_a_page_is_a_text(web: Web, private: Fetcher) -> None:
    assert await private.fetch(web.url("/page"), "text") == b"<html>"


async def test_a_server_that_never_answers_is_given_up(web: Web) -> None:
    async with Fetcher(allow_private=True, timeout=0.3) as fetcher:
        assert await code_of(fetcher.fetch(web.url("/never"), "image")) == (
            30002,
            f"'{web.url('/never')}' could not be fetched within 0.3 s",
        )


@pytest.mark.parametrize(
    "url",
    ["", "cat.jpg", "file:///etc/passwd", "ftp://host/x", "data:image/png;base64,xx", "http://", "//x"],
)
async def test_only_http_urls_are_fetched(private: Fetcher, url: str) -> None:
    assert (await code_of(private.fetch(url, "image")))[0] == 30106


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "127.1", "0"]
)
async def test_this_machine_is_not_fetched_from_however_it_is_written(web: Web, host: str) -> None:
    async with Fetcher() as fetcher:
        found, description = await code_of(fetcher.fetch(web.url("/photo", host), "image"))
    assert found in (30106, 30002)  # 30002: a spelling that this machine's resolver does not know
    assert found == 30106 or "cannot be found" in description
    assert web.requests == []


async def test_one_private_address_among_public_ones_is_enough_to_refuse(web: Web) -> None:
    async with Fetcher(resolver=lambda host, port: ["1.1.1.1", "10.0.0.1"]) as fetcher:
        found, description = await code_of(fetcher.fetch("http://mixed.test/", "image"))
    assert found == 30106
    assert "private" in description


async def test_the_connection_goes_to_the_address_that_was_checked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def resolver(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["203.0.113.1"]  # a second look-up would lead elsewhere

    monkeypatch.setattr(addresses, "refused", lambda address: None)
    async with Fetcher(resolver=resolver) as fetcher:
        assert await fetcher.fetch(web.url("/photo", "rebinding.test"), "image") == b"photo"
    assert looked_up == ["rebinding.test"]
    assert f"host: rebinding.test:{web.port}" in web.requests[0].casefold()


async def test_a_redirect_inward_is_refused_before_it_is_followed(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    real = addresses.refused

    def refused(address: addresses.Address) -> str | None:
        return None if str(address) == "127.0.0.1" else real(address)

    monkeypatch.setattr(addresses, "refused", refused)
    where = {"outward.test": ["127.0.0.1"], "inward.test": ["169.254.169.254"]}
    async with Fetcher(resolver=lambda host, port: where[host]) as fetcher:
        found, description = await code_of(fetcher.fetch(web.url("/inward", "outward.test"), "image"))
    assert found == 30106
    assert "link-local" in description
    assert len(web.requests) == 1


async def test_names_of_other_alphabets_go_encoded(web: Web) -> None:
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with Fetcher(allow_private=True, resolver=resolver) as fetcher:
        assert await fetcher.fetch(web.url("/photo", "bücher.test"), "image") == b"photo"
    assert asked == ["xn--bcher-kva.test"]
    assert f"host: xn--bcher-kva.test:{web.port}" in web.requests[0].casefold()


async def test_the_next_address_is_tried_when_one_does_not_answer(web: Web) -> None:
    both = ["127.0.0.9", "127.0.0.1"]  # nothing listens on the first
    async with Fetcher(allow_private=True, resolver=lambda host, port: both) as fetcher:
        assert await fetcher.fetch(web.url("/photo", "two.test"), "image") == b"photo"


async def test_proxies_of_the_environment_are_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Fetcher(allow_private=True) as fetcher:
        assert await fetcher.fetch(web.url("/photo"), "image") == b"photo"


async def test_messages_do_not_repeat_credentials_or_queries(private: Fetcher) -> None:
    for url in ("http://user:s3cret@127.0.0.1:1/x?key=s3cret", "ftp://user:s3cret@h/x?key=s3cret"):
        _, description = await code_of(private.fetch(url, "image"))
        assert "s3cret" not in description


async def test_a_users_credentials_reach_the_host_they_are_for(web: Web, private: Fetcher) -> None:
    await private.fetch(web.url("/photo", "user:pass@127.0.0.1"), "image")
    assert "authorization: Basic dXNlcjpwYXNz" in web.requests[0].replace("Authorization", "authorization")


async def test_tls_is_checked_against_the_hosts_name_not_its_address(web: Web) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("named.test").configure_cert(context)
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b"secure"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with Fetcher(allow_private=True, resolver=lambda host, port: ["127.0.0.1"], tls=trusting) as fetcher:
        assert await fetcher.fetch(f"https://named.test:{port}/", "image") == b"secure"
        found, description = await code_of(fetcher.fetch(f"https://other.test:{port}/", "image"))
    server.close()
    assert found == 30002
    assert "certificate" in description
