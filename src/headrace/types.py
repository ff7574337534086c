"""The types that cross the seam between calls and wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

#: A part of a message.
Buffer: TypeAlias = bytes | bytearray | memoryview
#: Names and values that go along with a call, in order.
Metadata: TypeAlias = Sequence[tuple[str, str]]
