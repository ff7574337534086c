"""Streams: what is known of one while it is open. RFC 9113 sections 5.1 and 5.1.1."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False, repr=False)
class Stream:
    """One open stream. A closed one is forgotten: its id alone tells that it was there.

    Attributes:
        id: odd, rising.
        send_window: bytes that the server takes now; negative after it lowered its setting.
        receive_window: bytes that the server may still send.
        owner: whatever the user of the engine puts there.
        uncredited: bytes that were consumed and not given back to the server's window yet.
        pending: content that waits for a window, in views; None where none ever did.
        ending: END_STREAM follows the pending content.
        sent_end, received_end: which halves are closed.
        status: of the response; 0 before its headers.
        informational: 1xx responses so far.
        content_left: bytes of content that may still come; None: any number, for there is no content-length.
    """

    id: int
    send_window: int
    receive_window: int
    owner: Any = None
    uncredited: int = 0
    pending: deque[memoryview] | None = None
    ending: bool = False
    sent_end: bool = False
    received_end: bool = False
    status: int = 0
    informational: int = 0
    content_left: int | None = 0
