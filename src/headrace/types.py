"""The types shared by calls and transports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

#: A part of a message.
Buffer: TypeAlias = bytes | bytearray | memoryview
#: Metadata of a call: names and values, in order.
Metadata: TypeAlias = Sequence[tuple[str, str]]
