"""The file of a tape: JSON, an event a line, made to be read and compared by people.

What differs from one recording to the next is kept apart, so that a difference shows what has changed: the times of a
call are a line of their own, ids that headrace makes are numbered, calls come one after the other and have no numbers.
Long byte strings stand at the end, once each, as base64 under their hash; those that were sent are there by their hash
alone, which is enough to compare. All is in one file: one thing to move, to review and to delete.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headrace.codec import SERVICE
from headrace.support.files import placed
from headrace.testing.tape import failures, messages
from headrace.testing.tape.calls import KINDS, LEFT, OK, SHAPES, Event, RecordedCall, method_of
from headrace.testing.tape.errors import TapeDamaged, TapeMissing, TapeTooNew, TapeUnwritable
from headrace.testing.tape.messages import Blobs, Plain

VERSION = 1
RECORD = 'record it with mode="record", or pytest --headrace-tape=record'
RECORD_AGAIN = 'record it again with mode="record", or pytest --headrace-tape=record'


class Contents:
    """What a tape holds.

    Attributes:
        calls: the calls, in the order in which they began.
        failed_connects: attempts to connect that failed, each with how many calls had begun before it.
        blobs: the long byte strings.
    """

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self.failed_connects: list[tuple[int, dict[str, Any]]] = []
        self.blobs: Blobs = Blobs()


def write(path: Path, contents: Contents) -> None:
    """Write a tape: all of it, or nothing.

    Raises:
        TapeUnwritable: it cannot be written there.
    """
    lines = "".join(_line(plain) for plain in _plain_lines(contents))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with placed(path) as fresh:
            fresh.write_bytes(lines.encode())
    except OSError as error:
        raise TapeUnwritable(
            f"the tape {path} cannot be written ({error.strerror or error}): give another path, or make its folder "
            "writable",
            path=str(path),
        ) from error


def read(path: Path) -> Contents:
    """Read a tape.

    Raises:
        TapeMissing: there is none.
        TapeTooNew: a later version of headrace wrote it.
        TapeDamaged: it is empty, incomplete, or no tape.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise TapeMissing(f"there is no tape {path}: {RECORD}", path=str(path)) from None
    except OSError as error:
        raise TapeDamaged(
            f"the tape {path} cannot be read ({error.strerror or error}): make it readable, or {RECORD_AGAIN}",
            path=str(path),
        ) from error
    return _Reader(path).read(raw)


def _line(plain: Plain) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(", ", ": "), allow_nan=False) + "\n"


def _plain_lines(contents: Contents) -> Iterator[Plain]:
    yield {"headrace_tape": VERSION}
    failed = list(contents.failed_connects)
    for begun, call in enumerate(contents.calls):
        while failed and failed[0][0] <= begun:
            yield {"connect": failed.pop(0)[1]}
        yield {
            "call": call.method.removeprefix(SERVICE),
            "shape": call.shape,
            **({"metadata": call.metadata} if call.metadata else {}),
        }
        for event in call.events:
            yield {event.kind: _sorted(event.value) if event.kind in ("send", "receive") else event.value}
        yield {"times": [round(event.at, 4) for event in call.events]}
    for _, failure in failed:
        yield {"connect": failure}
    for name, data in contents.blobs.items():
        yield {"bytes": name, "base64": base64.b64encode(data).decode()}
    yield {"end_of_tape": {"calls": len(contents.calls)}}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = Contents()
        self._number = 0  # of the line
        self._call: RecordedCall | None = None
        self._complete: int | None = None  # how many calls the last line says there are

    def read(self, raw: bytes) -> Contents:
        if not raw.strip():
            raise self._damaged("is empty")
        lines = raw.split(b"\n")
        for self._number, line in enumerate(lines, 1):
            if line.strip():
                self._take(self._parsed(line))
        self._number = 0
        if self._complete is None:
            raise self._damaged("is incomplete: its last line is missing, so the recording was cut off")
        if self._complete != len(self.contents.calls):
            raise self._damaged(f"says that it has {self._complete} calls, and has {len(self.contents.calls)}")
        for call in self.contents.calls:
            self._decode(call)
        return self.contents

    def _decode(self, call: RecordedCall) -> None:
        """Decode the answers of a call, and look at how it ended."""
        for event in call.events:
            self._number = event.line
            try:
                if event.kind == "receive":
                    call.answers.append(messages.answer_of(call.method, event.value, self.contents.blobs))
                elif event.kind == "end" and isinstance(event.value, dict):
                    failures.from_plain(event.value, "", str)
            except (ValueError, KeyError, TypeError) as error:
                raise self._damaged(f"is damaged at line {self._number}: {error}") from None

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            plain = json.loads(line)
        except ValueError as error:
            cut = "; the recording was cut off there" if self._number > 1 and not line.endswith(b"}") else ""
            raise self._damaged(f"is damaged at line {self._number} ({error}){cut}") from None
        if not isinstance(plain, dict):
            raise self._damaged(f"is damaged at line {self._number}: it is no JSON object")
        if self._number == 1:
            self._check_version(plain)
        elif self._complete is not None:
            raise self._damaged(f"goes on after its end, at line {self._number}")
        return plain

    def _check_version(self, plain: dict[str, Any]) -> None:
        version = plain.get("headrace_tape")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise self._damaged('is no tape: its first line is not {"headrace_tape": 1}')
        if version > VERSION:
            raise TapeTooNew(
                f"the tape {self.path} has format {version}, and this headrace reads up to {VERSION}: update headrace, "
                f"or {RECORD_AGAIN}",
                path=str(self.path),
            )

    def _take(self, plain: dict[str, Any]) -> None:
        try:
            self._take_line(plain)
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"is damaged at line {self._number}: {error}") from None

    def _take_line(self, plain: dict[str, Any]) -> None:
        contents = self.contents
        key: str
        value: Any
        key, value = next(iter(plain.items()), ("", None))
        if key == "headrace_tape":
            return
        if key == "call":
            self._call = self._begun(plain)
            contents.calls.append(self._call)
        elif key == "connect":
            contents.failed_connects.append((len(contents.calls), dict(value)))
        elif key == "bytes":
            contents.blobs.add(value, base64.b64decode(plain["base64"], validate=True))
        elif key == "end_of_tape":
            self._complete = int(value["calls"])
        elif self._call is None:
            raise ValueError(f"{key!r} stands before the first call")
        elif key == "times":
            self._time(self._call, value)
        elif key in KINDS:
            self._call.events.append(self._event(key, value))
        else:
            raise ValueError(f"{key!r} is nothing that a tape has")

    def _begun(self, plain: dict[str, Any]) -> RecordedCall:
        method, shape = plain["call"], plain["shape"]
        if not isinstance(method, str) or shape not in SHAPES:
            raise ValueError("a call needs the name of a method, and a shape")
        metadata = [[str(name), str(text)] for name, text in plain.get("metadata", [])]
        number = len(self.contents.calls) + 1
        return RecordedCall(number, method_of(method), shape, metadata, line=self._number)

    def _event(self, kind: Any, value: Any) -> Event:
        if kind in ("send", "receive") and not isinstance(value, dict):
            raise ValueError(f"{kind!r} needs a message")
        if kind == "end" and value not in (OK, LEFT) and not isinstance(value, dict):
            raise ValueError(f'a call ends with "{OK}", "{LEFT}" or an error')
        return Event(kind, value, line=self._number)

    @staticmethod
    def _time(call: RecordedCall, times: Sequence[float]) -> None:
        """Give the events their times; those of a file that was edited by hand are taken as they come."""
        call.events = [
            Event(event.kind, event.value, float(at), event.line)
            for event, at in zip(call.events, [*times, *[0.0] * len(call.events)], strict=False)
        ]

    def _damaged(self, what: str) -> TapeDamaged:
        again = f"restore it, or {RECORD_AGAIN}"
        return TapeDamaged(f"the tape {self.path} {what}: {again}", path=os.fspath(self.path), line=self._number)
