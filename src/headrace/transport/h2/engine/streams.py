"""Streams: what is known of one while it is open, and when it is closed. RFC 9113 sections 5.1 and 5.1.1."""

from __future__ import annotations

from collections import deque
from typing import Any


class Stream:
    """One open stream. A closed one is forgotten: its id alone tells that it was there.

    Attributes:
        id: odd, rising.
        owner: whatever the user of the engine puts there.
        send_window: bytes of content that the server takes now; negative after it lowered its setting.
        receive_window: bytes of content that the server may still send.
        uncredited: bytes that were consumed and not given back to the server's window yet.
        pending: content that waits for a window, in views.
        ending: END_STREAM follows the pending content.
        sent_end, received_end: the two halves are closed.
        status: of the response; 0 before its headers.
        informational: 1xx responses so far.
        content_left: bytes that content-length still promises; None where it promises nothing.
    """

    __slots__ = (
        "content_left",
        "ending",
        "id",
        "informational",
        "owner",
        "pending",
        "receive_window",
        "received_end",
        "send_window",
        "sent_end",
        "status",
        "uncredited",
    )

    def __init__(self, id: int, send_window: int, receive_window: int) -> None:
        self.id = id
        self.owner: Any = None
        self.send_window = send_window
        self.receive_window = receive_window
        self.uncredited = 0
        self.pending: deque[memoryview] = deque()
        self.ending = False
        self.sent_end = False
        self.received_end = False
        self.status = 0
        self.informational = 0
        self.content_left: int | None = None

    def __repr__(self) -> str:
        halves = ("sent end" if self.sent_end else "sending", "received end" if self.received_end else "receiving")
        return f"<Stream {self.id}: {', '.join(halves)}>"


__all__ = ["Stream"]
