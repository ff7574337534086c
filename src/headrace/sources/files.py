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
from headrace.sources.base import Begin, ItemSource

logger: logging.Logger = logging.getLogger("headrace")

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
        prefetch: files that are read ahead; a call reads the files itself, unless there are `limits`.
        limits: what is too large; the defaults (of a call: the client's) if not given.
    """
    items = [paths] if isinstance(paths, str | os.PathLike) else paths
    again = isinstance(items, list | tuple | set | frozenset)
    return _FileSource("files", lambda: items, prefetch, input_type, limits, again)


class _FileSource(ItemSource):
    """A source whose items are paths, which name its inputs.

    A call gets them unread: it reads several at a time, and one that stalls does not delay the others.
    """

    def __init__(
        self,
        name: str,
        begin: Begin,
        prefetch: int,
        input_type: InputType | None,
        limits: Limits | None,
        again: bool = True,
    ) -> None:
        super().__init__(name, begin, self._file, prefetch=prefetch, input_type=input_type or "", again=again)
        self._file_type = input_type
        self._limits = limits

    def _clear(self) -> None:
        super()._clear()
        self._unread = False

    def limit_each(self, seconds: float | None) -> None:
        """Bound the time that making one input may take: a call does it, which can read the files itself."""
        super().limit_each(seconds)
        self._unread = self._limits is None

    async def _file(self, path: AnyPath) -> Input:
        item = Input.from_filepath(path, self._file_type)
        return item if self._unread else await load(item, self._limits or Limits())

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

    return _FileSource(text, find, prefetch, input_type, limits)


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
