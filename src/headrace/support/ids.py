"""How messages name an input: by its user's id; ids that headrace made would mean nothing to a reader."""

from __future__ import annotations

import re

from headrace.support.texts import shortened

#: Generated ids: of the client, of a source, of inputs sent again, of items that could not become inputs.
_MADE = r"h[0-9a-f]{8}-[0-9a-f]+|[0-9a-f]{6}-\d+-\d+|again-[0-9a-f]{24}|item-\d+"


def named(id: str | None) -> str:
    """Name an input inside a sentence: "input mine", or "the input" if its user gave it no id."""
    return f"input {shortened(id, 200)}" if id and not re.fullmatch(_MADE, id) else "the input"


def before(id: str | None) -> str:
    """Return the prefix of a message about an input: "input mine: ", or "" if its user gave it no id."""
    return f"{named(id)}: " if id and not re.fullmatch(_MADE, id) else ""
