"""Bounds on what a server can make a connection store or do. RFC 9113 sections 10.5 and 5.4.1."""

from __future__ import annotations

from dataclasses import dataclass, fields

from headrace.errors import ConfigError


@dataclass(frozen=True, slots=True)
class H2Limits:
    """What one HTTP/2 connection accepts from its server.

    Counts decay: every useful frame (content, headers of an open stream) starts them again, so an honest connection
    never reaches them however long it lives.

    Args:
        frame_bytes: the largest frame, advertised as SETTINGS_MAX_FRAME_SIZE. Guards the buffer of a frame that has
            not arrived whole; content is never buffered.
        stream_window_bytes: how much content a server may send to a stream that nobody reads. Guards the memory of
            answers that have not been taken.
        connection_window_bytes: how much content may be on its way on all streams together.
        header_list_bytes: the largest list of headers or trailers, 32 bytes counted extra for each. A larger one fails
            its call alone.
        header_block_bytes: the largest encoded block. Guards against CONTINUATION without end.
        continuations: frames of one block. Guards against empty CONTINUATION frames.
        informational: 1xx responses of a stream.
        replies: SETTINGS and PING acknowledgements that wait because the server does not read.
        idle_frames: frames in a row that bring nothing: empty DATA, PRIORITY, unknown types, frames of closed streams,
            SETTINGS (counted by their cost), GOAWAY.
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"H2Limits.{field.name} must be a positive whole number, not {value!r}")
        if not 16_384 <= self.frame_bytes <= 16_777_215:
            raise ConfigError(f"H2Limits.frame_bytes must lie in 16,384 to 16,777,215, not {self.frame_bytes}")
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not 65_535 <= getattr(self, name) < 1 << 31:
                raise ConfigError(f"H2Limits.{name} must lie in 65,535 to 2,147,483,647, not {getattr(self, name)}")


__all__ = ["H2Limits"]
