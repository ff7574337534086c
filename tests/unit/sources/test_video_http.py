"""Videos at http addresses: read like files, taken up again where the connection breaks, bad ones told apart."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Self

import pytest

from headrace import SourceError
from headrace.sources import video
from tests.support import clips


class Site:
    """Serves one file, with ranges; the first `cuts` answers break off after a third of the file."""

    def __init__(self, data: bytes, *, cuts: int = 0, status: str = "", ranges: bool = True) -> None:
        self._data = data
        self._cuts = cuts
        self._status = status
        self._ranges = ranges
        self.requests: list[int] = []  # where each begins

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://user:hunter2@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/clip.mp4?key=hunter2"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            found = re.search(r"range: bytes=(\d+)-", head, re.IGNORECASE) if self._ranges else None
            first = int(found[1]) if found else 0
            self.requests.append(first)
            size = len(self._data)
            status = self._status or ("206 Partial Content" if found else "200 OK")
            span = f"Content-Range: bytes {first}-{size - 1}/{size}\r\n" if found else ""
            accepted = "bytes" if self._ranges else "none"
            length = f"Content-Length: {size - first}\r\n"
            writer.write(
                f"HTTP/1.1 {status}\r\n{span}{length}Accept-Ranges: {accepted}\r\nConnection: close\r\n\r\n".encode()
            )
            if self._cuts:
                self._cuts -= 1
                writer.write(self._data[first : first + size // 3])
            else:
                writer.write(self._data[first:])
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return clips.steady(path, 1, index_first=True).path.read_bytes()


async def test_a_video_at_an_address(data: bytes) -> None:
    async with Site(data) as site, video(site.url) as source:
        shown = [clips.number_of(frame.picture()) for frame in [frame async for frame in source]]  # type: ignore[attr-defined]
        assert source.finite
    assert shown == list(range(30))


async def test_a_connection_that_breaks_is_taken_up_where_it_was(data: bytes) -> None:
    async with Site(data, cuts=2) as site, video(site.url) as source:
        count = len([frame async for frame in source])
    assert count == 30
    assert len(site.requests) >= 3
    assert site.requests[-1] > 0


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden"])
async def test_no_video_there(data: bytes, status: str) -> None:
    async with Site(b"<html>", status=status) as site, video(site.url) as source:
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            await anext(source)
    assert "hunter2" not in f"{caught.value} {source!r}"


async def test_a_page_instead_of_a_video(tmp_path: Path) -> None:
    async with Site(b"<html>hello</html>" * 100) as site, video(site.url) as source:
        with pytest.raises(SourceError, match="cannot be opened"):
            await anext(source)


@pytest.mark.parametrize("index_first", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
async def test_an_index_that_cannot_be_reached_is_named(tmp_path: Path, index_first: bool, ranges: bool) -> None:
    path = clips.steady(tmp_path / "clip.mp4", 1, index_first=index_first).path
    async with Site(path.read_bytes(), ranges=ranges) as site, video(site.url, timeout=5) as source:
        if index_first or ranges:
            assert len([frame async for frame in source]) == 30
            return
        with pytest.raises(SourceError, match="its index is at the end and the server gives no ranges: download it"):
            await anext(source)


async def test_a_connection_that_fails_is_not_taken_for_that(data: bytes) -> None:
    async with Site(data[: len(data) // 3], status="500 Internal Server Error") as site, video(site.url) as source:
        with pytest.raises(SourceError) as caught:
            await anext(source)
    assert "index is at the end" not in str(caught.value)
