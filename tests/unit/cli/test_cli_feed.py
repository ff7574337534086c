"""The inputs of `stream`: folders, globs, lists, lines from a pipe."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from headrace.cli import feed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a.png", "sub/c.jpg", "notes.txt", ".hidden.jpg", ".git/d.jpg", "unknown.bin"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_line_is_a_url_a_file_or_a_text(folder: Path) -> None:
    def read(text: str, kind: str | None = None) -> tuple[str, str | None]:
        given = feed.from_line(text, kind, 0)
        return given.source, given.kind

    assert read("https://example.com/a.jpg") == ("url", "image")
    assert read("photos/b.jpg") == ("file", "image")
    assert read("missing.jpg") == ("file", "image")  # fails alone, when it is read
    assert read("just words") == ("data", "text")
    assert read("photos/b.jpg", "text") == ("data", "text")
    assert read("no-extension", "image") == ("file", "image")


async def test_lines_come_while_the_pipe_is_open() -> None:
    reading, writing = os.pipe()
    lines = feed.lines(reading)
    os.write(writing, b"one\ntwo\r\n\nthr")
    assert [await anext(lines), await anext(lines)] == [(0, "one"), (1, "two")]
    pending = asyncio.ensure_future(anext(lines))
    os.write(writing, b"ee\nfour")
    assert await pending == (3, "three")
    os.close(writing)
    assert await anext(lines) == (4, "four")
    assert await anext(lines, None) is None
    os.close(reading)


async def test_stdin_is_read_only_a_little_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    full, too_far = threading.Event(), threading.Event()

    def endless(_: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 5:
            full.set()
        if reads > 5:
            too_far.set()
        return b"line\n" * 10

    monkeypatch.setattr("headrace.cli.feed.os.read", endless)
    lines = feed.lines(0, ahead=4)
    assert await anext(lines) == (0, "line")  # one chunk is taken: a fifth may be read
    assert await asyncio.to_thread(full.wait, 5)
    assert not await asyncio.to_thread(too_far.wait, 0.2)
    assert [await anext(lines) for _ in range(10)][-1] == (10, "line")  # the second chunk is taken
    assert await asyncio.to_thread(too_far.wait, 5)
