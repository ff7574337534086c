"""Choosing the type of an input that has none, for a model that takes several: its first bytes or its name show it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from headrace import media
from headrace.errors import ConfigError, InputError
from headrace.inputs.value import INPUT_TYPES, Field, Input, InputType, name_of
from headrace.media.formats import HEAD_BYTES
from headrace.support.threads import in_thread


async def type_for(item: Input, types: Sequence[InputType], model: str) -> InputType:
    """Choose the type of an input for a model that takes these types.

    Raises:
        ConfigError: the type cannot be detected, or the model does not take it.
        InputError: it is a file that cannot be read.
    """
    field = next(field for field in item.fields if not field.type)
    shown = await _kind(field, item)
    if shown is not None and shown in types:
        return shown
    if shown is not None:
        raise ConfigError(f"{name_of(item)} is {_WORDS[shown]}; {model} takes {', '.join(types)}")
    raise ConfigError(
        f"{model} takes {', '.join(types)}, and {name_of(item)} could be any of them: give input_type= "
        f"({', '.join(INPUT_TYPES)}); a str is always text"
    )


_WORDS = {"image": "a picture", "video": "a video", "audio": "a sound", "text": "a text"}


async def _kind(field: Field, item: Input) -> InputType | None:
    if field.form == "bytes":
        return media.kind(field.payload)
    if field.form == "url":
        from urllib.parse import urlsplit

        return media.kind_of_name(urlsplit(field.payload.decode()).path)
    if field.form == "file":
        name = getattr(field.payload, "name", "")
        return media.kind_of_name(name) if isinstance(name, str) else None
    try:
        head = await in_thread(_head, field.payload)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {field.payload}: {reason}", input_id=item.id or None) from error
    return media.kind(head) or media.kind_of_name(str(field.payload))


def _head(path: os.PathLike[str]) -> bytes:
    """Read the first bytes of a file; none of one that can be read only once."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return b""
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


__all__ = ["type_for"]
