"""Ids for inputs that have none."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator


def new_ids() -> Iterator[str]:
    """Make ids, unique in a client and most likely among all clients: lower-case letters, digits and '-'."""
    return map(f"h{os.urandom(4).hex()}-".__add__, map(str, itertools.count()))  # no generator: threads may share it
