"""Bounds on what a server can make a connection store or do. RFC 9113 sections 10.5 and 5.4.1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class H2Limits:
    """What one HTTP/2 connection accepts from its server, and what each bound guards against.

    Counts start again with each useful frame (content, headers of an open stream): honest servers never reach them.

    Args:
        frame_bytes: the largest frame (SETTINGS_MAX_FRAME_SIZE): halves of frames whose rest never comes.
        stream_window_bytes: content of a stream that nobody reads. More ends the stream.
        connection_window_bytes: content on its way on all streams. More, also for reset streams, ends the connection.
        header_list_bytes: the largest list of headers, each with 32 bytes more: large and many fields. Fails the call.
        header_block_bytes: the largest encoded block: CONTINUATION without end.
        continuations: frames of one block: empty CONTINUATION frames.
        informational: 1xx responses of a stream: a response that never begins.
        replies: acknowledgements that wait for the server to read: floods of PING and SETTINGS.
        idle_frames: frames in a row that bring nothing: empty or late content, small increments, SETTINGS, unknown.
        resets: streams in a row that broke the protocol, and that we reset: increments of 0, overflows, bad headers.
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
