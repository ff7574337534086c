"""SETTINGS: what we announce, and what the server's are checked for and mean. RFC 9113 section 6.5."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.transport.h2.engine import frames
from headrace.transport.h2.engine.frames import Code, ConnectionFault
from headrace.transport.h2.engine.limits import H2Limits

HEADER_TABLE_SIZE, ENABLE_PUSH = 1, 2
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
#: Smallest and largest value, and the error for others.
_RANGES = {
    ENABLE_PUSH: (0, 0, Code.PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: (0, frames.MAX_WINDOW, Code.FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: (frames.DEFAULT_FRAME, 16_777_215, Code.PROTOCOL_ERROR),
}
_ATTRIBUTES = dict(enumerate(("max_streams", "window_bytes", "frame_bytes", "header_list_bytes"), 3))


def announced(limits: H2Limits) -> list[tuple[int, int]]:
    """List our settings: no table for the server's headers, no push, and the limits."""
    return [
        (HEADER_TABLE_SIZE, 0),
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
        (MAX_FRAME_SIZE, limits.frame_bytes),
        (MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
    ]


@dataclass(slots=True, eq=False, repr=False)
class PeerSettings:
    """The server's settings; what it has not sent yet has the protocol's defaults."""

    max_streams: int | None = None
    window_bytes: int = frames.DEFAULT_WINDOW
    frame_bytes: int = frames.DEFAULT_FRAME
    header_list_bytes: int | None = None

    def apply(self, name: int, value: int) -> None:
        """Take one value; those of unknown names are ignored."""
        if name in _RANGES:
            lowest, highest, code = _RANGES[name]
            if not lowest <= value <= highest:
                raise ConnectionFault(code, f"setting {name} is {value}")
        if name in _ATTRIBUTES:
            setattr(self, _ATTRIBUTES[name], value)
