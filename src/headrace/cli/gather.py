"""Collect the inputs of a command line, and turn them into the library's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import given as g

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Input
    from headrace.cli.given import Given
    from headrace.cli.options import Options

_TEXT_KEYS = ("prompt", "text")
_MEDIA_KEYS = ("image", "video", "audio")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a command line gives: the model's reference (None: by options), the inputs, more parameters.

    An input has several parts when it is multimodal. `fields` are those of `-i` and `--inputs` whose meaning depends on
    the model, which is not known yet; `resolved` gives them the documents' meaning.
    """

    ref: str | None
    inputs: tuple[tuple[Given, ...], ...]
    params: dict[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_type(self) -> str | None:
        """The type by which a default model is chosen: the picture's, where a picture and a text go together."""
        return self.inputs[0][0].kind if self.inputs else None

    @property
    def maps_an_input(self) -> bool:
        """Whether there is an input without asking the model's methods."""
        return bool(self.inputs) or any(name in _TEXT_KEYS + _MEDIA_KEYS for name in self.fields)

    def resolved(self, options: Options) -> Gathered:
        """Tell inputs (prompt, text, image, video, audio) from parameters among the fields; read stdin if need be.

        Raises:
            click.UsageError: no input, a missing file.
        """
        named, params = _from_fields(self.fields)
        found = [*named, *(part for parts in self.inputs for part in parts)]
        if not found:
            if sys.stdin is None or sys.stdin.isatty():
                raise click.UsageError("no input: give a file, a URL, a text, or - for stdin")
            found = [g.from_stdin(options.input_type)]
        pair = _pair(found)
        return Gathered(self.ref, (pair,) if pair else tuple((one,) for one in found), {**self.params, **params})


def gather(options: Options, words: Sequence[str], fields: Mapping[str, Any]) -> Gathered:
    """Collect inputs from options, positional arguments, `-i`/`--inputs` fields and stdin.

    Fields stay as they are where a model is named: its methods say what they mean. stdin is read for `-`, and when
    nothing else is given and it is not a terminal. One picture, video or sound
    together with one text, given in different ways, is one multimodal input.

    Raises:
        click.UsageError: no input, a missing file, no model.
    """
    kind = options.input_type
    by_option = [
        *(g.from_file(path, kind) for path in options.file_path),
        *(g.from_url(url, kind) for url in options.url),
        *(g.from_text(text, kind, n) for n, text in enumerate(options.data)),
    ]
    other_inputs = bool(by_option) or any(name in _TEXT_KEYS + _MEDIA_KEYS for name in fields)
    ref, rest = g.split_model(words, model_known=options.names_model, local=options.local, other_inputs=other_inputs)
    if rest.count("-") > 1:
        raise click.UsageError("stdin (-) can be given once")
    by_word = [g.from_stdin(kind) if word == "-" else g.from_word(word, kind, n) for n, word in enumerate(rest)]
    gathered = Gathered(ref, tuple((one,) for one in (*by_option, *by_word)), {}, fields)
    if fields and (ref or options.names_model):
        return gathered
    return gathered.resolved(options)


def to_input(parts: Sequence[Given]) -> Input:
    """Make the library's input of the parts; files are read when they are sent.

    Raises:
        ConfigError: a URL that is none.
    """
    from headrace import Input

    made = [_one(part, Input) for part in parts]
    return made[0] if len(made) == 1 else Input([field for item in made for field in item.fields])


def to_input_of_many(part: Given) -> Input:
    """Make the library's input of one of many; what is wrong with it is told when it is sent, and ends no other."""
    from headrace import ConfigError, InputError
    from headrace.sources.items import failed

    if part.error:
        return failed(InputError(part.error), 0, part.name, "")
    try:
        return to_input([part])
    except (ConfigError, InputError) as error:
        return failed(InputError(str(error)), 0, part.name, "")


def _one(part: Given, kind: type[Input]) -> Input:
    if part.source == "file":
        return kind.from_filepath(str(part.path), part.kind)
    if part.source == "url":
        return kind.from_url(str(part.value), part.kind)
    return kind.from_bytes(part.value, part.kind)


def _pair(found: Sequence[Given]) -> tuple[Given, ...]:
    """Give the parts of one multimodal input, media first, or () where the inputs stand alone."""
    if len(found) != 2:
        return ()
    media = [one for one in found if one.kind in _MEDIA_KEYS]
    texts = [one for one in found if one.kind == "text" and one.source == "data"]
    return (media[0], texts[0]) if len(media) == 1 and len(texts) == 1 else ()


def _from_fields(fields: Mapping[str, Any]) -> tuple[list[Given], dict[str, Any]]:
    """Tell inputs (prompt, text, image, video, audio) from parameters (everything else)."""
    found: list[Given] = []
    params: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _TEXT_KEYS:
            found.append(replace(g.from_text(value if isinstance(value, str) else str(value), "text"), name=name))
        elif name in _MEDIA_KEYS:
            if not isinstance(value, str):
                raise click.UsageError(f"{name} must be a URL or the path of a file")
            found.append(g.from_url(value, name) if g.is_url(value) else g.from_file(value, name))
        else:
            params[name] = value
    return found, params
