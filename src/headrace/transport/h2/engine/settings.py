"""SETTINGS: what we announce, and what the server's are checked for and mean. RFC 9113 section 6.5."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.transport.h2.engine import frames
from headrace.transport.h2.engine.frames import Code, ConnectionFault
from headrace.transport.h2.engine.limits import H2Limits

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)


def announced(limits: H2Limits) -> list[tuple[int, int]]:
    """List our settings: no table for the server's headers, no push, and the limits."""
    return [
        (HEADER_TABLE_SIZE, 0),
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
        (MAX_FRAME_SIZE, limits.frame_bytes),
        (MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
    ]


@dataclass(slots=True)
class PeerSettings:
    """The server's settings; what it has not sent yet has the protocol's defaults."""

    header_table_bytes: int = 4_096
    max_streams: int | None = None
    window_bytes: int = frames.DEFAULT_WINDOW
    frame_bytes: int = frames.DEFAULT_FRAME
    header_list_bytes: int | None = None

    def apply(self, name: int, value: int) -> None:
        """Take one value; those of unknown names are ignored.

        Raises:
            ConnectionFault: a value that the protocol forbids.
        """
        if name == HEADER_TABLE_SIZE:
            self.header_table_bytes = value
        elif name == ENABLE_PUSH:
            if value:
                raise ConnectionFault(Code.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value}")
        elif name == MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif name == INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE is {value}")
            self.window_bytes = value
        elif name == MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME <= value <= 16_777_215:
                raise ConnectionFault(Code.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE is {value}")
            self.frame_bytes = value
        elif name == MAX_HEADER_LIST_SIZE:
            self.header_list_bytes = value
