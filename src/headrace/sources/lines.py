"""Lines and rows as inputs: a text stream such as stdin, a column of a CSV file, a key of JSON lines."""

from __future__ import annotations

import io
import json
import os
import select
import sys
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Literal, TypeAlias

from headrace.errors import ConfigError, InputError, SourceError
from headrace.inputs import Input
from headrace.sources.base import Begin, ItemSource, Make
from headrace.sources.files import AnyPath

#: What a cell holds: a text, a URL that the server fetches, or the path of a file.
CellKind: TypeAlias = Literal["text", "url", "path"]

LINE_BYTES = 20 << 20  # longer lines are refused: servers do not take such texts
_CHUNK_BYTES = 1 << 16
_MARK = b"\xef\xbb\xbf"  # of UTF-8, at the start of a file
_LOOK_SECONDS = 0.1  # how often a reader of a silent stream checks whether it was closed


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
        return ItemSource(os.fspath(path), lambda: _file(path), _maker(kind, os.fspath(path)), prefetch=prefetch)
    if lines is None:
        open_ = _Open()
        return _Stdin(open_, lambda: _descriptor(sys.stdin.fileno(), open_), _maker(kind, "stdin"), prefetch)
    again = isinstance(lines, list | tuple)
    return ItemSource("lines", lambda: lines, _maker(kind, "lines"), prefetch=prefetch, again=again)


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
    """Make a source of a CSV file's column; the first row has the names. A row without a value is an input's own error.

    Raises:
        ConfigError: the delimiter is not one character.
        SourceError (when read): the file cannot be read, or has no such column.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"delimiter must be one character, not {delimiter!r:.60}")

    def rows() -> Iterator[Cell]:
        records = csv_rows(_texts(path, encoding), delimiter)
        names, _ = next(records, ([], 0))
        for wanted in filter(None, (column, id_column)):
            if wanted not in names:
                known = ", ".join(names) or "nothing"
                raise SourceError(f"{path} has no column {wanted!r}, only {known}", source=str(path))
        for row, number in records:
            if row:
                yield Cell(dict(zip(names, row, strict=False)), column, id_column, f"line {number}")

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
    """Make a source of one key of a file with a JSON object per line; a malformed line is that input's own error.

    Raises (when read):
        SourceError: the file cannot be read.
    """

    def rows() -> Iterator[Cell]:
        for number, line in enumerate(_texts(path, encoding), 1):
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

    def __init__(
        self, row: object, name: str, id_name: str | None, place: str, reason: str = "not a JSON object"
    ) -> None:
        self._row = row
        self._name = name
        self._id_name = id_name
        self._place = place
        self._reason = reason

    def __str__(self) -> str:
        return self._place

    def value(self, path: str) -> str:
        """Return the value.

        Raises:
            InputError: the row is not an object, or has none.
        """
        if not isinstance(self._row, Mapping):
            raise InputError(f"{path}, {self._place}: {self._reason}")
        value = self._row.get(self._name)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{path}, {self._place}: no text under {self._name!r}")
        return value

    @property
    def id(self) -> str | None:
        """The row's own id, if it has one."""
        if self._id_name is None or not isinstance(self._row, Mapping):
            return None
        value: Any = self._row.get(self._id_name)
        return str(value) if value not in (None, "") else None


def _maker(kind: CellKind, name: str) -> Make:
    async def make(line: str | InputError) -> Input:
        if isinstance(line, InputError):
            raise line
        if not isinstance(line, str):
            raise InputError(f"{name}: a line is a str, not {type(line).__name__}")
        return _input(line.rstrip("\r\n"), kind, None, name)

    return make


def _cell_maker(kind: CellKind, path: str) -> Make:
    async def make(cell: Cell) -> Input:
        return _input(cell.value(path), kind, cell.id, f"{path}, {cell}")

    return make


def _input(value: str, kind: CellKind, id: str | None, place: str) -> Input:
    if kind == "path":
        return Input.from_filepath(value.strip(), id=id)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{place}: not UTF-8: {value[error.start]!r} at {error.start:,}") from None
    return Input.from_url(value.strip(), id=id) if kind == "url" else Input.from_text(value, id)


class LineSplitter:
    """Splits bytes into lines as they arrive; a byte order mark at the very start is skipped."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line that has not ended
        self._size = 0
        self._start = True

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that end in a chunk, None for one of more than `LINE_BYTES`."""
        first, *others = chunk.split(b"\n")
        self._add(first)
        if not others:
            return []
        lines = [self._take(), *(line if len(line) <= LINE_BYTES else None for line in others[:-1])]
        self._add(others[-1])
        return lines

    def end(self) -> list[bytes | None]:
        """Return the last line, if it has no line end."""
        return [self._take()] if self._size else []

    def _add(self, piece: bytes) -> None:
        if self._size <= LINE_BYTES:
            self._pieces.append(piece)
        self._size += len(piece)

    def _take(self) -> bytes | None:
        line = b"".join(self._pieces) if self._size <= LINE_BYTES else None
        self._pieces, self._size = [], 0
        if self._start:
            self._start = False
            line = line.removeprefix(_MARK) if line is not None else None
        return line


def _opened(path: AnyPath) -> BinaryIO:
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {path}: {reason}", source=str(path)) from error


def _file(path: AnyPath) -> Iterator[str | InputError]:
    """Yield the lines of a list file that are not blank; undecodable bytes spoil only their own line."""
    splitter = LineSplitter()
    number = 0
    with _opened(path) as file:
        while True:
            try:
                chunk = file.read(_CHUNK_BYTES)
            except OSError as error:
                message = f"{path}, after line {number}: {error.strerror or error}"
                raise SourceError(message, source=str(path), position=number) from error
            for line in splitter.feed(chunk) if chunk else splitter.end():
                number += 1
                if line is None:
                    yield _too_long(f"{path}, line {number}")
                elif line.strip():
                    yield line.decode(errors="surrogateescape")
            if not chunk:
                return


def _too_long(place: str) -> InputError:
    return InputError(f"{place}: the line is longer than {LINE_BYTES >> 20} MiB")


def _texts(path: AnyPath, encoding: str) -> Iterator[str]:
    """Decode a file line by line, so that one bad byte spoils one line; a byte order mark at its start is left out.

    Raises:
        SourceError: it cannot be read, or there is no such encoding.
    """
    try:
        by_line = "a\n".encode(encoding).endswith(b"a\n")
    except LookupError as error:
        raise SourceError(f"{path}: {error}", source=str(path)) from error
    with _opened(path) as file:
        if by_line:
            encoding = "utf-8" if encoding.lower().replace("_", "-") == "utf-8-sig" else encoding
            texts: Iterable[str] = (line.decode(encoding, "surrogateescape") for line in file)
        else:  # such as UTF-16
            texts = io.TextIOWrapper(file, encoding, "replace", newline="")
        first = True
        try:
            for text in texts:
                yield text.removeprefix("\ufeff") if first else text
                first = False
        except (UnicodeError, OSError) as error:
            raise SourceError(f"{path}: {error}", source=str(path)) from error


def csv_rows(lines: Iterator[str], delimiter: str = ",") -> Iterator[tuple[list[str], int]]:
    """Yield the rows of a CSV file with the number of their last line; [] for a blank line.

    It reads like the standard library's `csv.reader`, whose limit for a cell (131,072 characters) belongs to the whole
    process, and which cannot continue after a longer cell. Source: RFC 4180.
    """
    number = 0
    for line in lines:
        number += 1
        cells: list[str] = []
        at = 0
        while line.strip("\r\n"):
            quoted = ""
            if line.startswith('"', at):
                quoted, line, at, more = _quoted(line, at + 1, lines)
                number += more
            end = line.find(delimiter, at)
            if end < 0:
                cells.append(quoted + line[at:].rstrip("\r\n"))
                break
            cells.append(quoted + line[at:end])
            at = end + 1
        yield cells, number


def _quoted(line: str, at: int, lines: Iterator[str]) -> tuple[str, str, int, int]:
    """Read a cell behind its opening quote: its text, the line and the place behind its end, how many lines it took."""
    pieces: list[str] = []
    more = 0
    while True:
        end = line.find('"', at)
        if end >= 0:
            pieces.append(line[at:end])
            if not line.startswith('""', end):
                return "".join(pieces), line, end + 1, more
            pieces.append('"')
            at = end + 2
            continue
        pieces.append(line[at:])
        following = next(lines, None)
        if following is None:  # the quote is never closed
            return "".join(pieces), "", 0, more
        line, at, more = following, 0, more + 1


class _Open:
    """Whether there is still a reader."""

    closed = False


class _Stdin(ItemSource):
    def __init__(self, open_: _Open, begin: Begin, make: Make, prefetch: int) -> None:
        super().__init__("stdin", begin, make, prefetch=prefetch, again=False)
        self.open = open_

    async def aclose(self) -> None:
        self.open.closed = True
        await super().aclose()


def _descriptor(descriptor: int, open_: _Open) -> Iterator[str | InputError]:
    """Read lines from a bare descriptor, so that no lock of `sys.stdin` delays the end of the program."""
    splitter = LineSplitter()
    while not open_.closed:
        if not _readable(descriptor):
            continue
        chunk = os.read(descriptor, _CHUNK_BYTES)
        for line in splitter.feed(chunk) if chunk else splitter.end():
            if line is None:
                yield _too_long("stdin")
            elif line.strip():
                yield line.decode(errors="surrogateescape")
        if not chunk:
            return


def _readable(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], _LOOK_SECONDS)[0])
    except (OSError, ValueError):  # not every system can wait for a file or a console: then the read waits
        return True
