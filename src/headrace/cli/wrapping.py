"""Text that comes in pieces, broken into lines between its words."""

from __future__ import annotations

import sys

from headrace.cli import render
from headrace.cli.terminal import escape


class Wrapped:
    """Writes pieces of text as they come, broken into lines at spaces.

    Args:
        indent: in front of each line.
        columns: the terminal's width.
    """

    def __init__(self, indent: str, columns: int) -> None:
        self._indent = indent
        self._columns = columns
        self._at = 0  # characters on the current line, 0 before its indent
        self._word = ""
        self._spaces = ""

    def write(self, text: str) -> None:
        """Write a piece; a word is held back until its end is known."""
        for c in escape(text):
            if c not in " \n":
                self._word += c
                continue
            self._flush()
            if c == "\n":
                self._break()
            elif self._at:
                self._spaces += " "
        sys.stdout.flush()

    def end(self) -> None:
        """Write what is held back and end the line."""
        self._flush()
        self._break()
        sys.stdout.flush()

    def _flush(self) -> None:
        if not self._word:
            return
        if self._at and self._at + len(self._spaces) + len(self._word) > self._columns:
            self._break()
        self._out(self._spaces if self._at else self._indent)
        self._out(self._word)
        self._word = self._spaces = ""

    def _break(self) -> None:
        if self._at:
            sys.stdout.write("\n")
        self._at = 0
        self._spaces = ""

    def _out(self, text: str) -> None:
        sys.stdout.write(render.encodable(text, sys.stdout))
        self._at += len(text)
