"""The inputs of `headrace stream`: options, words, lists and stdin, one after the other."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from headrace.cli import feed, words
from headrace.cli.gather import by_option
from headrace.cli.selection import Selection, most_frequent
from headrace.support.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headrace.cli.options import Options
    from headrace.cli.part import Part


class Supply:
    """All inputs of a stream, in order, read lazily.

    Args:
        options: whose --file_path, --url and --bytes come first.
        arguments: positional arguments without the model; `-` is stdin.
        lists: files with an input a line; `-` is stdin.
        model_named: the model is not chosen by the inputs.

    Raises:
        click.UsageError: no input, a missing file or folder, a bare word that may be a mistyped one.
    """

    def __init__(self, options: Options, arguments: Sequence[str], lists: Sequence[str], *, model_named: bool) -> None:
        self._type = options.input_type
        piped = [word for word in [*lists, *arguments] if word == "-"]
        if not (arguments or lists or options.url or options.data or options.file_path):
            if sys.stdin is None or sys.stdin.isatty():
                raise click.UsageError("no input: give files, a folder, URLs, texts, or - for lines on stdin")
            piped = ["-"]
        if len(piped) > 1:
            raise click.UsageError("stdin (-) can be given once")
        for path in lists:
            if path != "-" and (not os.path.exists(path) or os.path.isdir(path)):
                raise click.UsageError(f"missing file: {path}")
        if not model_named and self._type is None:
            _question(arguments)
        self._piped = bool(piped)
        self._lists = [path for path in lists if path != "-"]
        self._plain = by_option(options)
        self.words: Selection = Selection([word for word in arguments if word != "-"], self._type)

    @property
    def total(self) -> int:
        """How many inputs there are, 0 if that is not known before the end."""
        return 0 if self._piped or self._lists or not self.words.lone else len(self._plain) + len(self.words)

    @property
    def kinds(self) -> Counter[str]:
        """How many inputs there are of each type, as far as that is known before they are read."""
        return self.words.kinds + Counter(one.kind or "" for one in self._plain)

    @property
    def films(self) -> list[Part]:
        """The inputs, if all of them are videos on this machine; else nothing."""
        only = self.words.lone and not (self._piped or self._lists)
        inputs = [*self._plain, *self.words.inputs(None)] if only else []
        return inputs if all(one.kind == "video" for one in inputs) else []

    async def inputs(self, fields: Collection[str] | None) -> tuple[str | None, Iterable[Part] | AsyncIterator[Part]]:
        """Return the type by which a default model is chosen, and the inputs.

        Args:
            fields: what the model takes, None if that is not known or no model is named.

        Raises:
            click.UsageError: there is no input.
        """
        if self.kinds:
            kind = self._type or most_frequent(self.kinds, fields)
            before = self._before_stdin(kind)
            return kind, _then_stdin(before, self._type) if self._piped else before
        before = self._before_stdin(None)
        first, source = await _peek(_then_stdin(before, self._type) if self._piped else before)
        if first is None:
            raise click.UsageError("no input: the list is empty")
        return self._type or first.kind, source

    def _before_stdin(self, kind: str | None) -> Iterator[Part]:
        yield from self._plain
        yield from self.words.inputs(kind)
        for path in self._lists:
            for n, line in feed.lines_of_file(path):
                yield feed.from_line(line, self._type, n)


def _question(arguments: Sequence[str]) -> None:
    """Refuse a bare word: it is more likely a mistyped file or model than a text."""
    for word in arguments:
        if word != "-" and words.is_bare(word) and not words.exists(word):
            near = words.nearest(word, words.built_in_names())
            hint = f"the model {near}?" if near else "a text? --input_type text"
            raise click.UsageError(f"no file {word}; {hint}")


async def _then_stdin(before: Iterable[Part], kind: str | None) -> AsyncIterator[Part]:
    for item in before:
        yield item
    async for n, text in feed.lines(0):
        yield feed.from_line(text, kind, n)


async def _peek(
    source: Iterable[Part] | AsyncIterator[Part],
) -> tuple[Part | None, Iterable[Part] | AsyncIterator[Part]]:
    """Look at the first input; the source given back still has it."""
    if isinstance(source, AsyncIterator):
        first = await anext(source, None)
        return first, _with_first(first, source)
    iterator = iter(source)
    item = await in_thread(next, iterator, None)  # a list may be a pipe without data yet
    return item, _with_first_sync(item, iterator)


async def _with_first(first: Part | None, rest: AsyncIterator[Part]) -> AsyncIterator[Part]:
    if first is not None:
        yield first
    async for item in rest:
        yield item


def _with_first_sync(first: Part | None, rest: Iterator[Part]) -> Iterator[Part]:
    if first is not None:
        yield first
    yield from rest
