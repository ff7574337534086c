"""Collect the inputs of a command line, and turn them into the library's."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import part as from_user
from headrace.cli import words
from headrace.cli.options import Typed
from headrace.cli.selection import most_frequent
from headrace.inputs import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Input
    from headrace.cli.options import Options
    from headrace.cli.part import Part

_TEXT_KEYS = ("prompt", "text")
_MEDIA_KEYS = ("image", "video", "audio")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a command line gives: the model's reference (None: by options), the inputs, more parameters.

    An input has several parts when it is multimodal. `fields` are those of `-i` and `--inputs` whose meaning depends on
    the model, which is not known yet; `resolved` gives them the documents' meaning.
    """

    ref: str | None
    inputs: tuple[tuple[Part, ...], ...]
    params: dict[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    grouped: bool = False  # whether the parts of multimodal inputs are combined

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types by which a default model is chosen: those of most inputs, pictures first on a tie."""
        counts = Counter(tuple(part.kind or "" for part in parts) for parts in self.inputs)
        if len(counts) > 1 and all(len(kinds) == 1 for kinds in counts):
            kind = most_frequent(Counter({kinds[0]: number for kinds, number in counts.items()}))
            return (kind,) if kind else ()
        kinds = next(iter(counts), ())
        return kinds if all(kinds) else ()

    @property
    def maps_an_input(self) -> bool:
        """Whether there is an input without asking the model's methods."""
        return bool(self.inputs) or any(name in _TEXT_KEYS + _MEDIA_KEYS for name in self.fields)

    def resolved(self, options: Options) -> Gathered:
        """Separate inputs (prompt, text, image, video, audio) from parameters among the fields; read stdin if need be.

        Raises:
            click.UsageError: no input, a missing file.
        """
        if self.grouped:
            return self
        named, params = _from_fields(self.fields)
        inputs = [*named, *(part for parts in self.inputs for part in parts)]
        if not inputs:
            if sys.stdin is None or sys.stdin.isatty():
                raise click.UsageError("no input: give a file, a URL, a text, or - for stdin")
            inputs = [from_user.from_stdin(options.input_type)]
        return Gathered(self.ref, grouped(inputs), {**self.params, **params}, grouped=True)


def gather(options: Options, positional: Sequence[str], fields: Mapping[str, Any]) -> Gathered:
    """Collect inputs from options, positional arguments, `-i`/`--inputs` fields and stdin.

    Fields stay as they are if a model is named: its methods say what they mean. stdin is read for `-`, and when
    nothing else is given and it is not a terminal. A picture, video or sound with a text is one multimodal input.

    Raises:
        click.UsageError: no input, a missing file, no model.
    """
    kind = options.input_type
    ref, rest = model_and_inputs(
        options, positional, other_inputs=any(name in _TEXT_KEYS + _MEDIA_KEYS for name in fields)
    )
    inputs = [*by_option(options), *from_user.from_words(rest, kind)]
    gathered = Gathered(ref, tuple((one,) for one in inputs), {}, fields)
    if fields and (ref or options.names_model):
        return gathered
    return gathered.resolved(options)


def model_and_inputs(
    options: Options, positional: Sequence[str], *, other_inputs: bool = False
) -> tuple[str | None, list[str]]:
    """Separate the model from the inputs among the positional arguments, and refuse inputs given in several ways.

    Raises:
        click.UsageError: inputs of several kinds of options, or of an option and as words; no model.
    """
    ways = {"--file_path": options.file_path, "--url": options.url, "--bytes": options.data}
    used = [name for name, values in ways.items() if values]
    ref, rest = words.split_model(
        positional,
        model_known=options.names_model,
        local=options.local,
        other_inputs=other_inputs or bool(used),
        own_server=options.own_server,
    )
    if len(used) > 1:
        raise click.UsageError(f"{' and '.join(used)} exclude each other: give inputs in one way (words can be mixed)")
    if used and rest:
        raise click.UsageError(f"{used[0]} gives the input, and so does {shortened(rest[0])!r}: give inputs in one way")
    return ref, rest


def by_option(options: Options) -> list[Part]:
    """Read the inputs of --file_path, --url and --bytes.

    Raises:
        click.UsageError: a missing file, an empty text.
    """
    kind = options.input_type
    return [
        *(from_user.from_file(path, kind) for path in options.file_path),
        *(from_user.from_url(url, kind) for url in options.url),
        *(from_user.from_text(text, kind, n) for n, text in enumerate(options.data)),
    ]


def to_input(parts: Sequence[Part]) -> Input:
    """Make the library's input from the parts; files are read when they are sent.

    Raises:
        ConfigError: a malformed URL.
    """
    from headrace import Input

    inputs = [_one(part, Input) for part in parts]
    return inputs[0] if len(inputs) == 1 else Input([field for item in inputs for field in item.fields])


def to_input_of_many(part: Part) -> Input:
    """Make the library's input from one of many; its error is reported when it is sent, and ends no other."""
    from headrace import ConfigError, InputError
    from headrace.sources.items import failed

    if part.error:
        return failed(InputError(part.error), 0, part.name, "")
    try:
        return to_input([part])
    except (ConfigError, InputError) as error:
        return failed(InputError(str(error)), 0, part.name, "")


def _one(part: Part, kind: type[Input]) -> Input:
    if part.source == "file":
        return kind.from_filepath(str(part.path), part.kind)
    if part.source == "url":
        return kind.from_url(str(part.value), part.kind)
    return kind.from_bytes(part.value, part.kind)


def grouped(parts: Sequence[Part]) -> tuple[tuple[Part, ...], ...]:
    """Combine the parts of inputs: each picture, video or sound with the one text, or each text with the one file.

    Raises:
        click.UsageError: several of both, so that it is unclear which belong together.
    """
    media = [one for one in parts if one.kind in _MEDIA_KEYS]
    texts = [one for one in parts if one.kind == "text"]
    if not media or not texts or len(media) + len(texts) < len(parts):
        return tuple((one,) for one in parts)
    if len(media) > 1 and len(texts) > 1:
        raise click.UsageError(
            f"{len(media)} files and {len(texts)} texts: which belong together? Give one text for all of the files, "
            "one file for all of the texts, or run a command for each"
        )
    return tuple((one, text) for one in media for text in texts)


def _from_fields(fields: Mapping[str, Any]) -> tuple[list[Part], dict[str, Any]]:
    """Separate inputs (prompt, text, image, video, audio) from parameters (everything else)."""
    inputs: list[Part] = []
    params: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _TEXT_KEYS:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            inputs.append(replace(from_user.from_text(str(text), "text"), name=name))
        elif name in _MEDIA_KEYS:
            if not isinstance(value, str):
                raise click.UsageError(f"{name} must be a URL or the path of a file")
            inputs.append(from_user.from_url(value, name) if words.is_url(value) else from_user.from_file(value, name))
        else:
            params[name] = value.value() if isinstance(value, Typed) else value
    return inputs, params
