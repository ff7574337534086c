"""Bounds on what a server can make a connection store or do. RFC 9113 sections 10.5 and 5.4.1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class H2Limits:
    """What one HTTP/2 connection accepts from its server.

    Counts decay: every useful frame (content, headers of an open stream) starts them again, so an honest connection
    never reaches them however long it lives.

    Args:
        frame_bytes: the largest frame (SETTINGS_MAX_FRAME_SIZE), of which a part may wait for its rest.
        stream_window_bytes: content that a server may send to a stream that nobody reads.
        connection_window_bytes: how much content may be on its way on all streams together.
        header_list_bytes: the largest list of headers or trailers, each with 32 bytes more; others fail their call.
        header_block_bytes: the largest encoded block. Guards against CONTINUATION without end.
        continuations: frames of one block. Guards against empty CONTINUATION frames.
        informational: 1xx responses of a stream.
        replies: SETTINGS and PING acknowledgements that wait because the server does not read.
        idle_frames: frames in a row that bring nothing, such as empty DATA, and SETTINGS, counted by their cost.
        resets: streams that we had to reset in a row because the server violated the protocol there.
    """

    frame_bytes: int = 65_536
    stream_window_bytes: int = 4 << 20
    connection_window_bytes: int = 64 << 20
    header_list_bytes: int = 65_536
    header_block_bytes: int = 131_072
    continuations: int = 32
    informational: int = 32
    replies: int = 1_000
    idle_frames: int = 1_000
    resets: int = 100
