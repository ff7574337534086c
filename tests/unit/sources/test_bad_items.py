"""Whatever is wrong with one item of a source is that item's own error; the others come, in their order."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import DeadlineExceeded, InputError, SourceError, sources
from tests.support.rig import rigged

httpx = pytest.importorskip("httpx")

GOOD = "https://example.com/a.png"


async def texts(source: Any) -> list[str | None]:
    """What comes: a text, or None for an error."""
    async with source:
        return [None if item.error else bytes(item.fields[0].payload).decode() async for item in source]


def lines(tmp_path: Path, content: bytes) -> Any:
    (tmp_path / "list").write_bytes(content)
    return sources.from_lines(tmp_path / "list")


def jsonl(tmp_path: Path, content: bytes) -> Any:
    rows = b"\n".join(b'{"t": "%s"}' % line for line in content.split(b"\n"))
    (tmp_path / "list").write_bytes(rows)
    return sources.from_jsonl(tmp_path / "list", "t")


def table(tmp_path: Path, content: bytes) -> Any:
    (tmp_path / "list").write_bytes(b"t,other\n" + b"\n".join(b'"%s",x' % line for line in content.split(b"\n")))
    return sources.from_csv(tmp_path / "list", "t")


WAYS: list[Callable[[Path, bytes], Any]] = [lines, jsonl, table]


@pytest.mark.parametrize("way", WAYS)
async def test_one_undecodable_line_of_200(tmp_path: Path, way: Callable[[Path, bytes], Any]) -> None:
    rows = [f"line {n}".encode() for n in range(200)]
    rows[120] = b"caf\xe9"
    found = await texts(way(tmp_path, b"\n".join(rows)))
    assert found == [None if n == 120 else f"line {n}" for n in range(200)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [255, 131_072, 131_073, 2_000_000])
async def test_long_values(tmp_path: Path, way: Callable[[Path, bytes], Any], length: int) -> None:
    before = csv.field_size_limit()
    long = "x" * length
    assert await texts(way(tmp_path, f"a\n{long}\nb".encode())) == ["a", long, "b"]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
async def test_a_byte_order_mark_is_dropped_at_the_start_only(tmp_path: Path, encoding: str) -> None:
    mark = b"\xef\xbb\xbf"
    assert await texts(lines(tmp_path, mark + b"a\n" + mark + b"b")) == ["a", "\ufeffb"]
    (tmp_path / "j").write_bytes(mark + b'{"t": "a"}\n{"t": "b"}\n')
    assert await texts(sources.from_jsonl(tmp_path / "j", "t", encoding=encoding)) == ["a", "b"]
    (tmp_path / "c").write_bytes(mark + b"t\na\nb\n")
    assert await texts(sources.from_csv(tmp_path / "c", "t", encoding=encoding)) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["latin-1", "shift_jis", "utf-16", "utf-16-le", "gb18030"])
async def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    words = ["one", "é" if encoding == "latin-1" else "字", "three"]
    (tmp_path / "c").write_bytes("\n".join(["t", *words]).encode(encoding))
    assert await texts(sources.from_csv(tmp_path / "c", "t", encoding=encoding)) == words


async def test_an_encoding_that_is_none_and_a_file_that_is_missing_fail_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"t\na")
    for source in (
        sources.from_csv(tmp_path / "c", "t", encoding="no-such"),
        sources.from_lines(tmp_path / "missing"),
        sources.from_jsonl(tmp_path / "missing", "t"),
        sources.from_csv(tmp_path / "a\0b", "t"),
    ):
        with pytest.raises(SourceError):
            await texts(source)


async def test_rows_with_quotes_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b't,u\na,1\nb\rc,2\n"d\ne",3\nf\n"g""h",4\n')
    assert await texts(sources.from_csv(tmp_path / "c", "t")) == ["a", "b\rc", "d\ne", "f", 'g"h']


async def test_a_line_without_end_is_its_own_error(tmp_path: Path) -> None:
    content = b"a\n" + b"x" * (21 << 20) + b"\nb\n"
    assert await texts(lines(tmp_path, content)) == ["a", None, "b"]


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/a.png",
        "http://h:99999/a",
        "http://h:abc/a",
        "http://h/\udce9",
        "http://a b/",
        "",
        5,
        None,
        "ftp://h/",
    ],
)
@pytest.mark.parametrize("fetch", ["server", "client"])
async def test_malformed_urls(url: Any, fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=b"png"))
    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: real(transport=answer, **options))
    async with sources.from_urls([GOOD, url, GOOD], "image", fetch=fetch) as source:
        found = [item.error async for item in source]
    assert [error is None for error in found] == [True, False, True]
    assert isinstance(found[1], InputError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_PROXY", "[::1]"),
        ("all_proxy", "socks5://127.0.0.1:9"),
        ("https_proxy", "http://[::1"),
        ("SSL_CERT_FILE", "/no/such/file"),
    ],
)
async def test_what_is_wrong_with_the_environment_is_each_downloads_error(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    urls = ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
    async with sources.from_urls(urls, "image", fetch="client") as source:
        found = [item.error async for item in source]
    assert [type(error) for error in found] == [SourceError, SourceError]


async def test_merged_sources_go_on_after_a_bad_item() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no")

    async def items() -> AsyncIterator[Any]:
        for item in ("a", 5, Odd(), "\udce9", "b"):
            yield item

    async with sources.merge(items()) as source:
        assert await texts(source) == ["a", None, None, None, "b"]


async def test_what_makes_an_input_may_raise_anything() -> None:
    class Odd:
        def __fspath__(self) -> str:
            raise RuntimeError("no path today")

    assert await texts(sources.from_paths([Odd(), Odd()])) == [None, None]
    assert await texts(sources.from_lines(["a", 5, "b\udce9", "c"])) == ["a", None, None, "c"]  # type: ignore[list-item]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("merged", [False, True])
async def test_the_calls_timeout_covers_what_a_source_reads(tmp_path: Path, merged: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good").write_text("good")
    paths = [tmp_path / "pipe", tmp_path / "good", tmp_path / "pipe", tmp_path / "good"]
    source: Any = sources.from_paths(paths, "text")
    if merged:
        source = sources.merge(source)
    async with rigged("memory", tmp_path, lambda item: item.data.text.raw) as rig:
        began = time.monotonic()
        async with rig.model.stream(source, timeout=1.0) as stream:
            found = [p.error or p.text async for p in stream]
        assert time.monotonic() - began < 5
    assert [isinstance(one, DeadlineExceeded) for one in found] == [True, False, True, False]
    assert found[1::2] == ["good", "good"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
async def test_a_glob_leaves_out_what_nobody_named_and_has_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good").write_text("good")
    assert await texts(sources.from_glob(tmp_path / "*", "text")) == ["good"]
    assert "pipe" in caplog.text
