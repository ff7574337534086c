"""Lines and rows as inputs: a text stream such as stdin, a column of a CSV file, a key of JSON lines."""

from __future__ import annotations

import csv
import json
import os
import select
import sys
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from headrace.errors import InputError, SourceError
from headrace.inputs import Input
from headrace.sources.base import Begin, ItemSource, Make
from headrace.sources.files import AnyPath

#: What a cell holds: a text, a URL that the server fetches, or the path of a file.
CellKind: TypeAlias = Literal["text", "url", "path"]

LINE_BYTES = 20 << 20  # a longer line is refused: that is no text that a server takes
_CHUNK_BYTES = 1 << 16
_LOOK_SECONDS = 0.1  # how often a reader of a silent stream looks whether it was closed


def from_lines(
    lines: AnyPath | Iterable[str] | AsyncIterable[str] | None = None, kind: CellKind = "text", *, prefetch: int = 0
) -> ItemSource:
    """Make a source of lines, each an input, as they come; blank lines are left out.

    Args:
        lines: a file's path, an (async) iterator of lines, or None: stdin.
        kind: what a line is: "text", "url" or "path".
        prefetch: files that are read ahead, with "path".
    """
    if isinstance(lines, str | os.PathLike):
        path = lines
        return ItemSource(os.fspath(path), lambda: _file(path), _maker(kind), prefetch=prefetch)
    if lines is None:
        open_ = _Open()
        return _Stdin(open_, lambda: _descriptor(sys.stdin.fileno(), open_), _maker(kind), prefetch)
    given = lines
    return ItemSource("lines", lambda: given, _maker(kind), prefetch=prefetch, again=isinstance(given, list | tuple))


def from_csv(
    path: AnyPath,
    column: str,
    kind: CellKind = "text",
    *,
    id_column: str | None = None,
    encoding: str = "utf-8-sig",
    delimiter: str = ",",
    prefetch: int = 0,
) -> ItemSource:
    """Make a source of a CSV file's column; the first row has the names. A row without a value is its own error.

    Raises (when read):
        SourceError: the file cannot be read, or has no such column.
    """

    def rows() -> Iterator[Cell]:
        with _opened(path, encoding) as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            try:
                for wanted in filter(None, (column, id_column)):
                    if wanted not in (reader.fieldnames or ()):
                        names = ", ".join(reader.fieldnames or ()) or "nothing"
                        raise SourceError(f"{path} has no column {wanted!r}, only {names}", source=str(path))
                for row in reader:
                    yield Cell(row, column, id_column, f"line {reader.line_num}")
            except (csv.Error, UnicodeError) as error:
                raise SourceError(f"{path}, line {reader.line_num + 1}: {error}", source=str(path)) from error

    return ItemSource(os.fspath(path), rows, _cell_maker(kind, os.fspath(path)), prefetch=prefetch)


def from_jsonl(
    path: AnyPath,
    key: str,
    kind: CellKind = "text",
    *,
    id_key: str | None = None,
    encoding: str = "utf-8",
    prefetch: int = 0,
) -> ItemSource:
    """Make a source of one key of a file with a JSON object a line; a line that is none is its own error.

    Raises (when read):
        SourceError: the file cannot be read.
    """

    def rows() -> Iterator[Cell]:
        for number, line in enumerate(_file(path, encoding), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield Cell(row, key, id_key, f"line {number}")

    return ItemSource(os.fspath(path), rows, _cell_maker(kind, os.fspath(path)), prefetch=prefetch)


class Cell:
    """One value of a row, and where it stands."""

    def __init__(self, row: object, name: str, id_name: str | None, where: str) -> None:
        self._row = row
        self._name = name
        self._id_name = id_name
        self._where = where

    def value(self, path: str) -> str:
        """Give the value.

        Raises:
            InputError: the row is no object, or has none.
        """
        if not isinstance(self._row, Mapping):
            raise InputError(f"{path}, {self._where}: not a JSON object")
        found = self._row.get(self._name)
        if not isinstance(found, str) or not found.strip():
            raise InputError(f"{path}, {self._where}: no text under {self._name!r}")
        return found

    @property
    def id(self) -> str | None:
        """The row's own id, where it has one."""
        if self._id_name is None or not isinstance(self._row, Mapping):
            return None
        found: Any = self._row.get(self._id_name)
        return str(found) if found not in (None, "") else None


def _maker(kind: CellKind) -> Make:
    async def make(line: str) -> Input:
        return _input(line.rstrip("\r\n"), kind, None)

    return make


def _cell_maker(kind: CellKind, path: str) -> Make:
    async def make(cell: Cell) -> Input:
        return _input(cell.value(path), kind, cell.id)

    return make


def _input(value: str, kind: CellKind, id: str | None) -> Input:
    if kind == "url":
        return Input.from_url(value.strip(), id=id)
    if kind == "path":
        return Input.from_filepath(value.strip(), id=id)
    return Input.from_text(value, id)


def _opened(path: AnyPath, encoding: str) -> Any:
    try:
        return open(path, encoding=encoding, newline="")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}", source=str(path)) from error


def _file(path: AnyPath, encoding: str = "utf-8") -> Iterator[str]:
    number = 0
    with _opened(path, encoding) as file:
        try:
            for number, line in enumerate(file, 1):  # noqa: B007
                if line.strip():
                    yield line
        except (UnicodeError, OSError) as error:
            raise SourceError(f"{path}, after line {number}: {error}", source=str(path), position=number) from error


class _Open:
    """Whether somebody still reads."""

    closed = False


class _Stdin(ItemSource):
    def __init__(self, open_: _Open, begin: Begin, make: Make, prefetch: int) -> None:
        super().__init__("stdin", begin, make, prefetch=prefetch, again=False)
        self.open = open_

    async def aclose(self) -> None:
        self.open.closed = True
        await super().aclose()


def _descriptor(descriptor: int, open_: _Open) -> Iterator[str]:
    """Read lines from a bare descriptor, so that no lock of `sys.stdin` holds up the end of the program."""
    rest = b""
    while not open_.closed:
        if not _readable(descriptor):
            continue
        chunk = os.read(descriptor, _CHUNK_BYTES)
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES:
            raise SourceError(f"stdin: a line is longer than {LINE_BYTES >> 20} MiB", source="stdin")
        if not chunk:
            whole, rest = [rest], b""
        for line in whole:
            if line.strip():
                yield line.decode(errors="replace")
        if not chunk:
            return


def _readable(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], _LOOK_SECONDS)[0])
    except (OSError, ValueError):  # not every system can wait for a file or a console: then the read waits
        return True
