"""Whatever is wrong with one input is its own error, at its position: those before and after it are answered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Coalesce, HeadraceError, Input, InputError
from headrace.testing import ReceivedInput
from tests.support.rig import WIRES, Wire, rigged
from tests.support.shapes import MANY, SHAPES

pytestmark = pytest.mark.core


class Breaks(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise RuntimeError("the disk is on fire")


class Lies:
    """A thing whose every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")


class Endless(bytes):
    """Bytes whose length cannot be told."""

    def __len__(self) -> int:
        raise RuntimeError("no length")


#: name -> (what makes it, what its error says)
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "latin-1 bytes": (lambda: b"caf\xe9", "UTF-8"),
    "latin-1 view": (lambda: memoryview(b"caf\xe9"), "UTF-8"),
    "latin-1, long": (lambda: b"x" * 10_000 + b"\xe9", "UTF-8"),
    "latin-1 file": (lambda: io.BytesIO(b"caf\xe9"), "UTF-8"),
    "latin-1 part": (lambda: Input.from_bytes(b"caf\xe9", "text"), "UTF-8"),
    "lone surrogate": (lambda: "caf\udce9", "surrogate"),
    "text file that gives a surrogate": (lambda: io.StringIO("caf\udce9"), "surrogate"),
    "empty": (lambda: b"", "empty"),
    "no input at all": (lambda: 5, "cannot send int"),
    "nothing": (lambda: None, "cannot send NoneType"),
    "a thing that raises": (Lies, "RuntimeError: no"),
    "bytes that raise": (lambda: Endless(b"x"), "RuntimeError: no length"),
    "missing file": (lambda: Path("no-such-file.txt"), "no-such-file.txt"),
    "long name": (lambda: Path("x" * 5000), "too long"),
    "NUL in a name": (lambda: Path("a\0b"), "null"),
    "folder": (lambda: Path("/"), "directory"),
    "closed file": (lambda: _closed(), "closed"),
    "file that breaks": (Breaks, "on fire"),
}


def _closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


def text(item: ReceivedInput) -> str:
    return item.data.text.raw


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_bad_input_fails_alone(tmp_path: Path, wire: Wire, shape: str) -> None:
    items: list[Any] = []
    for make, _ in BAD.values():
        items += [f"good {len(items)}", make()]
    items.append("last")
    async with rigged(wire, tmp_path, text) as rig:
        outcomes = await SHAPES[shape](rig.model, items, "text")
    assert sorted(outcomes) == list(range(len(items)))
    for position, item in enumerate(items):
        outcome = outcomes[position]
        if position % 2 == 0:
            assert not isinstance(outcome, HeadraceError), f"{item}: {outcome!r}"
            assert outcome.text == item
        else:
            name, (_, message) = list(BAD.items())[position // 2]
            assert isinstance(outcome, HeadraceError), name
            assert message in str(outcome), name
            assert isinstance(outcome, InputError) or shape.endswith("each")  # alone, an argument may just be wrong
            assert len(str(outcome)) < 700


@pytest.mark.parametrize("shape", SHAPES)
async def test_where_the_bad_one_is_the_first_or_the_only_one(tmp_path: Path, shape: str) -> None:
    async with rigged("memory", tmp_path, text) as rig:
        for items in ([b"\xe9"], [b"\xe9", "b"], ["a", b"\xe9"]):
            outcomes = await SHAPES[shape](rig.model, items, "text")
            assert [isinstance(outcomes[n], InputError) for n in range(len(items))] == [i == b"\xe9" for i in items]


@pytest.mark.parametrize("shape", MANY)
async def test_a_part_of_a_multimodal_input_counts(tmp_path: Path, shape: str) -> None:
    image = Input.from_bytes(b"\x89PNG", "image").fields
    bad = Input([*image, *Input.from_bytes(b"caf\xe9", "text").fields], "both")
    good = Input([*image, *Input.from_text("fine").fields])
    async with rigged("memory", tmp_path, text) as rig:
        outcomes = await SHAPES[shape](rig.model, [good, bad, good], None)
    assert [getattr(outcomes[n], "input_id", None) == "both" for n in range(3)] == [False, True, False]
    assert "UTF-8" in str(outcomes[1])


@pytest.mark.parametrize("shape", MANY)
@pytest.mark.parametrize(
    "unknown", [lambda: Input.from_url("https://example.com/a"), lambda: b"what is this", lambda: io.BytesIO(b"?")]
)
async def test_an_input_of_unknown_type_fails_alone(tmp_path: Path, shape: str, unknown: Callable[[], Any]) -> None:
    good = Input.from_text("typed")
    double = {"input_fields": ("text", "image")}
    async with rigged("memory", tmp_path, text, double=double) as rig:
        outcomes = await SHAPES[shape](rig.model, [good, unknown(), good], None)
        assert len(rig.double.inputs) == 2
    assert isinstance(outcomes[1], InputError)
    assert "input_type=" in str(outcomes[1])
    assert [outcomes[n].text for n in (0, 2)] == ["typed", "typed"]  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", WIRES)
async def test_coalesced_calls_keep_their_own_errors(tmp_path: Path, wire: Wire) -> None:
    items = ["a", b"caf\xe9", "b", b"", "c"]
    async with rigged(wire, tmp_path, text, coalesce=Coalesce()) as rig:
        outcomes = await SHAPES["predict each"](rig.model, items, "text")
    assert [isinstance(outcomes[n], InputError) for n in range(5)] == [False, True, False, True, False]


async def async_items(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def plain_items(items: list[Any]) -> Iterator[Any]:
    yield from items


@pytest.mark.parametrize("way", [list, async_items, plain_items])
@pytest.mark.parametrize("matched", [True, False])
async def test_from_every_kind_of_iterator(tmp_path: Path, way: Callable[[list[Any]], Any], matched: bool) -> None:
    async with rigged("memory", tmp_path, text) as rig:
        stream = rig.model.stream(way(["a", b"caf\xe9", "b"]), "text", matched=matched)
        found = [p async for p in stream]
        assert [item.data.text.raw for item in rig.double.inputs] == ["a", "b"]
    assert sorted("UTF-8" in str(p.error) for p in found) == [False, False, True]


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/a.png",
        "http://host:99999/a",
        "http://host:abc/a",
        "http://host/\udce9",
        "http:///nothing",
        "https://",
        "ftp://host/a",
        "http://a b/",
        5,
    ],
)
async def test_a_malformed_url_fails_alone(tmp_path: Path, url: Any) -> None:
    good = "https://example.com/a"
    async with rigged("memory", tmp_path, lambda item: item.data.image.url) as rig:
        found = [p async for p in rig.model.stream_by_url([good, url, good], "image")]
    assert [isinstance(p.error, InputError) for p in found] == [False, True, False]


async def test_frames_that_are_none_fail_alone(tmp_path: Path) -> None:
    async with rigged("memory", tmp_path, lambda item: f"{len(item.data.image.base64)}") as rig:
        frames = [b"\xff\xd8one", 5, b"\xff\xd8two", Path("no-such-file.jpg"), b"", b"\xff\xd8last"]
        async with asyncio.timeout(20), rig.model.stream_frames(frames) as stream:  # type: ignore[arg-type]
            found = [frame async for frame in stream]
    assert [f.prediction.error is None for f in found] == [True, False, True, False, False, True]
