"""How messages name an input: by the id that its user gave it; ids that headrace made say nothing to anybody."""

from __future__ import annotations

import re

from headrace.support.texts import shortened

#: Ids of inputs that had none: of the client, of a source, of what is sent again, of what could not be made an input.
_MADE = re.compile(r"h[0-9a-f]{8}-[0-9a-f]+|[0-9a-f]{6}-\d+-\d+|again-[0-9a-f]{24}|item-\d+").fullmatch


def named(id: str | None) -> str:
    """Name an input inside a sentence: "input mine", or "the input" if its user gave it no id."""
    return f"input {shortened(id, 200)}" if id and not _MADE(id) else "the input"


def before(id: str | None) -> str:
    """Return what stands before a sentence about an input: "input mine: ", or nothing if its user gave it no id."""
    return f"{named(id)}: " if id and not _MADE(id) else ""
