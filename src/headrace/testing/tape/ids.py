"""Ids of inputs: those that headrace makes are new in each run, so they are numbered on a tape."""

from __future__ import annotations

import re

_MADE = re.compile(r"\bh[0-9a-f]{8}-[0-9a-f]+\b|\bagain-[0-9a-f]{24}\b")
_NUMBERED = re.compile(r"<input \d+>")


class Numbering:
    """Numbers the ids of one recorded call, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Put numbers in the place of the ids that headrace has made."""
        return _MADE.sub(lambda match: self._numbers.setdefault(match[0], f"<input {len(self._numbers) + 1}>"), text)


class Renaming:
    """From the ids on a tape to those of the run that replays it."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def add(self, recorded: str, actual: str) -> None:
        """Note that the input of this id on the tape is that one now."""
        self._ids[recorded] = actual

    def id(self, recorded: str) -> str:
        """Give the id of an input as it is now."""
        return self._ids.get(recorded, recorded)

    def text(self, text: str) -> str:
        """Put the ids of now into a text that came with numbers."""
        return _NUMBERED.sub(lambda match: self._ids.get(match[0], match[0]), text) if "<input " in text else text
