"""Files as inputs: read ahead in worker threads, a bounded number at once, in order."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path

from headrace.config import Limits
from headrace.errors import SourceError
from headrace.inputs import Input, InputType
from headrace.inputs.checks import is_ready
from headrace.inputs.loading import load
from headrace.sources.base import ItemSource

logger = logging.getLogger("headrace")

AnyPath = str | os.PathLike[str]
PREFETCH = 4


def from_paths(
    paths: AnyPath | Iterable[AnyPath] | AsyncIterable[AnyPath],
    input_type: InputType | None = None,
    *,
    prefetch: int = PREFETCH,
    limits: Limits | None = None,
) -> ItemSource:
    """Make a source of files: one path, a list, or any (async) iterator of paths.

    A missing, unreadable, empty or too large file is that input's own error.

    Args:
        prefetch: files that are read ahead.
        limits: what is too large; the defaults where not given.
    """
    checked = limits or Limits()
    items = [paths] if isinstance(paths, str | os.PathLike) else paths

    async def make(path: AnyPath) -> Input:
        return await load(Input.from_filepath(path, input_type), checked)

    again = isinstance(items, list | tuple | set | frozenset)
    return _FileSource("files", lambda: items, make, prefetch=prefetch, input_type=input_type or "", again=again)


class _FileSource(ItemSource):
    """A source whose items are paths, which name its inputs."""

    def _origin(self, raw: AnyPath) -> str:
        return os.fspath(raw)


def from_glob(
    pattern: AnyPath,
    input_type: InputType | None = None,
    *,
    prefetch: int = PREFETCH,
    limits: Limits | None = None,
) -> ItemSource:
    """Make a source of the files that match a pattern (`**` for any folders), sorted by name; hidden ones are left out,
    and what is not a file that ends: named pipes, devices.

    Raises (when read):
        SourceError: no file matches.
    """
    checked = limits or Limits()
    text = os.fspath(pattern)

    def find() -> Iterator[Path]:
        paths = []
        for path in sorted(glob.iglob(os.path.expanduser(text), recursive=True)):
            if os.path.isfile(path):
                paths.append(path)
            elif os.path.exists(path) and not os.path.isdir(path):
                logger.warning("%s is a pipe, a socket or a device: left out (name it to read it)", path)
        if not paths:
            raise SourceError(f"no file matches {text}", source=text, position=0)
        yield from map(Path, paths)

    async def make(path: Path) -> Input:
        return await load(Input.from_filepath(path, input_type), checked)

    return _FileSource(text, find, make, prefetch=prefetch, input_type=input_type or "")


def from_bytes(
    items: Iterable[object] | AsyncIterable[object], input_type: InputType | None = None, *, prefetch: int = 0
) -> ItemSource:
    """Make a source of bytes, texts, pictures or `Input`s: a list or any (async) iterator of what stands for an input.

    What the iterator raises reaches the reader as it is.

    Args:
        prefetch: pictures that are encoded ahead, in worker threads.
    """
    if isinstance(items, str | bytes | bytearray | memoryview):
        items = [items]
    limits = Limits()

    async def make(item: object) -> Input:
        input_ = Input.of(item, input_type)
        if is_ready(input_) and not prefetch:
            return input_
        return await load(input_, limits)

    return ItemSource(
        "bytes",
        lambda: items,
        make,
        prefetch=prefetch,
        input_type=input_type or "",
        again=isinstance(items, list | tuple),
    )


__all__ = ["PREFETCH", "AnyPath", "from_bytes", "from_glob", "from_paths"]
