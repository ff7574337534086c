"""Files, URLs, lines and rows as inputs: ids, positions, order, bounds, and items that fail alone."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Client, ConfigError, Input, InputError, SourceError
from headrace.sources import (
    InputSource,
    base,
    from_bytes,
    from_csv,
    from_glob,
    from_jsonl,
    from_lines,
    from_paths,
    from_urls,
    merge,
)
from headrace.sources.lines import csv_rows
from headrace.testing import ModelDouble

MODEL = "u/a/models/m"


async def test_an_iterator_that_never_ends_its_closing_holds_the_source_up_only_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base, "CLOSE_SECONDS", 0.02)
    stuck = asyncio.Event()

    class Stubborn:
        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> str:
            return "line"

        async def aclose(self) -> None:
            await stuck.wait()

    async with asyncio.timeout(10):
        async with from_lines(Stubborn()) as source:
            assert payloads([await anext(source)]) == [b"line"]


def payloads(items: list[Any]) -> list[bytes]:
    return [bytes(item.fields[0].payload) for item in items]


async def test_files_come_in_order_with_ids_positions_and_times(tmp_path: Path) -> None:
    before, paths = time.time(), []
    for number in range(20):
        paths.append(tmp_path / f"{number}.txt")
        paths[-1].write_text(f"text {number}")
    async with from_paths(paths, "text", prefetch=5) as source:
        items = [item async for item in source]
        assert payloads(items) == [f"text {n}".encode() for n in range(20)]
        assert [item.position for item in items] == list(range(20))
        assert len({item.id for item in items}) == 20
        assert all(
            item.id.replace("-", "").isalnum() and item.id == item.id.lower() and len(item.id) <= 32 for item in items
        )
        assert all(before <= item.timestamp <= time.time() for item in items)
        await source.restart()
        assert [item.id async for item in source] == [item.id for item in items]


async def test_a_missing_file_is_its_own_error_in_a_stream(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "c.txt").write_text("c")
    double = ModelDouble(lambda item: item.text)
    names = ["a.txt", "nope.txt", "empty.txt", "c.txt"]
    async with Client(transport=double) as client:
        stream = client.model(MODEL).stream(from_paths([tmp_path / name for name in names], "text"))
        found = [p.text if p.error is None else type(p.error) async for p in stream]
    assert found == ["a", InputError, InputError, "c"]


async def test_reading_ahead_is_bounded(tmp_path: Path) -> None:
    pulled = 0

    def paths() -> Iterator[Path]:
        nonlocal pulled
        for number in range(100):
            pulled += 1
            path = tmp_path / f"{number}.txt"
            path.write_text("x")
            yield path

    async with from_paths(paths(), "text", prefetch=3) as source:
        await anext(source)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert pulled <= 6
    with pytest.raises(ConfigError, match="once"):
        await source.restart()


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_a_cancelled_read_loses_no_item(prefetch: int) -> None:
    gate = asyncio.Event()

    async def items() -> AsyncIterator[str]:
        yield "a"
        await gate.wait()
        yield "b"

    async with from_bytes(items(), "text", prefetch=prefetch) as source:
        assert payloads([await anext(source)]) == [b"a"]
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        gate.set()
        assert payloads([await anext(source)]) == [b"b"]


async def test_what_the_users_iterator_raises_is_raised_as_it_is() -> None:
    def items() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError("mine")

    for prefetch in (0, 3):
        async with from_bytes(items(), "text", prefetch=prefetch) as source:
            await anext(source)
            with pytest.raises(ZeroDivisionError, match="mine"):
                await anext(source)


async def test_glob(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt", "d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    async with from_glob(tmp_path / "**/*.txt", "text") as source:
        assert payloads([item async for item in source]) == [b"a.txt", b"b.txt", b"deep/c.txt"]
    async with from_glob(tmp_path / "*.png") as source:
        with pytest.raises(SourceError, match="no file matches"):
            await anext(source)


async def test_urls_are_passed_on_and_bad_ones_fail_alone() -> None:
    async with from_urls(["https://example.com/a.jpg", "ftp://x/y", "https://example.com/b.jpg"], "image") as source:
        items = [item async for item in source]
    assert [item.error is None for item in items] == [True, False, True]
    assert items[0].fields[0].form == "url"
    assert "item 1" in str(items[1].error)


class Web:
    """A small web server; `most` is how many requests it had at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.closed = 0

    async def __aenter__(self) -> Web:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)  # the time of a download
        self.now -= 1
        body = path.encode()
        status = "404 Not Found" if "missing" in path else "200 OK"
        if "large" in path:
            body = b"x" * 2_000_000
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        try:
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()
        self.closed += 1


async def test_downloads_run_ahead_in_order_and_fail_alone() -> None:
    from headrace import Limits

    async with Web() as web:
        urls = [f"{web.base}/{n}" for n in range(8)]
        urls[3] = f"{web.base}/missing?token=secret"
        urls[5] = f"{web.base}/large"
        limits = Limits(input_bytes={"text": 1_000_000})
        async with from_urls(urls, "text", fetch="client", prefetch=3, limits=limits) as source:
            items = [item async for item in source]
        async with from_urls("http://127.0.0.1:1/gone", "text", fetch="client") as source:
            (gone,) = [item async for item in source]
    assert [bytes(i.fields[0].payload) for i in items if i.error is None] == [b"/0", b"/1", b"/2", b"/4", b"/6", b"/7"]
    assert isinstance(items[3].error, SourceError)
    assert items[3].error.position == 3
    assert "404" in str(items[3].error)
    assert "secret" not in str(items[3].error)
    assert "MiB" in str(items[5].error)
    assert 2 <= web.most <= 4
    assert isinstance(gone.error, SourceError)


async def test_lines_of_a_file_and_of_an_iterator(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one\n\ntwo\r\nthree")
    async with from_lines(tmp_path / "lines.txt") as source:
        assert payloads([item async for item in source]) == [b"one", b"two", b"three"]
    async with from_lines(["https://a/b", "c"], kind="url") as source:
        assert [item.error is None async for item in source] == [True, False]
    async with from_lines(tmp_path / "nope") as source:
        with pytest.raises(SourceError, match="No such file"):
            await anext(source)


async def test_stdin_comes_as_it_is_written_and_closes_while_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        async with from_lines() as source:
            os.write(writing, b"one\ntw")
            assert payloads([await anext(source)]) == [b"one"]
            os.write(writing, b"o\n")
            assert payloads([await anext(source)]) == [b"two"]
            waiting = asyncio.ensure_future(anext(source))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        os.close(writing)


async def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('id,text\n1,"hello, you"\n2,\n3,bye\n')
    async with from_csv(path, "text", id_column="id") as source:
        items = [item async for item in source]
    assert [(item.id, item.error is None) for item in items if item.position != 1] == [("1", True), ("3", True)]
    assert bytes(items[0].fields[0].payload) == b"hello, you"
    assert "line 3" in str(items[1].error)
    async with from_csv(path, "price") as source:
        with pytest.raises(SourceError, match=r"no column 'price', only id, text"):
            await anext(source)


async def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"q": "one"}) + "\n{broken\n\n[1]\n" + json.dumps({"q": "two"}) + "\n")
    async with from_jsonl(path, "q") as source:
        items = [item async for item in source]
    assert [item.error is None for item in items] == [True, False, False, True]
    assert "line 2" in str(items[1].error)


async def test_several_sources_take_turns() -> None:
    async def numbers(first: int) -> AsyncIterator[str]:
        for number in range(first, first + 5):
            yield str(number)

    async with merge(numbers(0), from_bytes([f"{n}" for n in range(10, 15)], "text"), numbers(20)) as source:
        found = [int(item.fields[0].payload) async for item in source]
    assert sorted(found) == [*range(5), *range(10, 15), *range(20, 25)]
    for first in (0, 10, 20):
        own = [number for number in found if first <= number < first + 5]
        assert own == sorted(own)
        assert found.index(first + 4) >= 10  # none was served to its end before the others


async def test_a_source_that_fails_ends_alone() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "x"
        raise SourceError("the disk is gone", source="disk", position=1)

    async with merge(broken(), from_bytes(["a", "b", "c"], "text")) as source:
        items = [item async for item in source]
    assert [str(item.error) for item in items if item.error is not None] == ["the disk is gone"]
    assert len(items) == 5
    async with merge(broken(), from_bytes(["a"] * 3, "text"), on_error="raise") as source:
        with pytest.raises(SourceError, match="disk"):
            [item async for item in source]
    async with merge(broken(), broken()) as source:
        with pytest.raises(SourceError, match="disk"):
            [item async for item in source]


async def test_merged_sources_restart_where_all_can() -> None:
    async with merge(from_bytes(["a"], "text"), from_bytes(["b"], "text")) as source:
        first = {bytes(item.fields[0].payload) async for item in source}
        await source.restart()
        assert {bytes(item.fields[0].payload) async for item in source} == first == {b"a", b"b"}


async def test_wrong_settings() -> None:
    for make in (
        lambda: merge(),
        lambda: from_paths([], prefetch=-1),
        lambda: from_urls([], fetch="both"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError):
            make()


async def test_a_source_is_an_input_source() -> None:
    source = from_bytes([Input.from_text("a", id="mine")])
    assert isinstance(source, InputSource)
    assert [item.id async for item in source] == ["mine"]
    await source.aclose()
    await source.aclose()


CELLS = st.text(st.sampled_from('ab,;" \n\r\u00fc'), max_size=6)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5), st.sampled_from(",;"), st.booleans())
def test_rows_of_csv_are_what_the_standard_library_reads(rows: list[list[str]], delimiter: str, all_: bool) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL if all_ else csv.QUOTE_MINIMAL).writerows(rows)
    lines = list(io.StringIO(file.getvalue(), newline="\n"))
    read = list(csv_rows(iter(lines), delimiter))
    reader = csv.reader(lines, delimiter=delimiter)
    expected = [(row, reader.line_num) for row in reader]
    assert read == expected
    assert [row for row, _ in read] == rows


@given(st.text(st.sampled_from('ab,"\n'), max_size=20))
def test_odd_csv_is_read_as_the_standard_library_reads_it(text: str) -> None:
    lines = text.splitlines(keepends=True)
    assert [row for row, _ in csv_rows(iter(lines))] == list(csv.reader(lines))


def test_reading_csv_leaves_the_limit_of_the_process_alone(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("t\n" + "x" * 200_000 + "\n3\n")
    before = csv.field_size_limit()
    rows = csv_rows(iter((tmp_path / "c.csv").read_text().splitlines(keepends=True)))
    assert [len(row[0]) for row, _ in rows] == [1, 200_000, 1]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("delimiter", ["", ",,", '"', None])
def test_a_delimiter_is_one_character(delimiter: Any) -> None:
    with pytest.raises(ConfigError, match="one character"):
        from_csv("x.csv", "t", delimiter=delimiter)
