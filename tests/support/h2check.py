"""Checks the frames of an HTTP/2 client by themselves, whatever a test is about: types, sizes, ids, order, windows.

The server's side of the connection is read too, for what it allows the client: windows, frame size, streams at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, END_HEADERS = 1, 1, 4
MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 3, 4, 5
_FLAGS = {DATA: END, HEADERS: END | END_HEADERS, SETTINGS: ACK, PING: ACK, CONTINUATION: END_HEADERS}
_SIZES = {RST: 4, PING: 8, WINDOW: 4}
_UNLIMITED = 1 << 32


@dataclass
class _Stream:
    window: int
    sent_end: bool = False  # by the client
    ended: bool = False  # by the server
    reset: bool = False  # by the client


@dataclass
class ClientCheck:
    """What a client may do now, and what it did that it must not.

    Attributes:
        problems: sentences, one for each violation.
        streams: that the client has opened, by id.
        window: bytes of content that the client may send now, on all streams together.
    """

    problems: list[str] = field(default_factory=list)
    streams: dict[int, _Stream] = field(default_factory=dict)
    window: int = 65_535
    _settings: dict[int, int] = field(default_factory=lambda: {MAX_STREAMS: _UNLIMITED, INITIAL_WINDOW: 65_535})
    _unacknowledged: list[dict[int, int]] = field(default_factory=list)
    _sent: bytes = b""  # by the server: the begin of a frame
    _last_id: int = 0
    _block: int = 0  # the stream whose header block is open
    _first: bool = True

    # --- the server's side

    def server_sent(self, data: bytes) -> None:
        """Note what the server sends, for what it allows."""
        sent, start = self._sent + data, 0
        while start + 9 <= len(sent):
            end = start + 9 + int.from_bytes(sent[start : start + 3], "big")
            if len(sent) < end:
                break
            stream_id = int.from_bytes(sent[start + 5 : start + 9], "big")
            self._note(sent[start + 3], sent[start + 4], stream_id, sent[start + 9 : end])
            start = end
        self._sent = sent[start:]

    def _note(self, type_: int, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self.streams.get(stream_id)
        if type_ == SETTINGS and not flags & ACK:
            values = {
                int.from_bytes(payload[n : n + 2], "big"): int.from_bytes(payload[n + 2 : n + 6], "big")
                for n in range(0, len(payload) - 5, 6)
            }
            self._unacknowledged.append(values)
            if (raised := values.get(INITIAL_WINDOW, 0) - self._settings[INITIAL_WINDOW]) > 0:
                self._move_windows(raised)
        elif type_ == WINDOW and len(payload) == 4:
            increment = int.from_bytes(payload, "big") & 0x7FFFFFFF
            if not stream_id:
                self.window += increment
            elif stream is not None:
                stream.window += increment
        elif stream is not None and (type_ == RST or (type_ in (DATA, HEADERS) and flags & END)):
            stream.ended = True
            stream.sent_end = stream.sent_end or type_ == RST

    def _move_windows(self, delta: int) -> None:
        self._settings[INITIAL_WINDOW] += delta
        for stream in self.streams.values():
            stream.window += delta

    def _acknowledged(self) -> None:
        if not self._unacknowledged:
            self._problem("SETTINGS acknowledged that the server did not send")
            return
        values = self._unacknowledged.pop(0)
        if (lowered := values.get(INITIAL_WINDOW, _UNLIMITED) - self._settings[INITIAL_WINDOW]) < 0:
            self._move_windows(lowered)
        self._settings |= {name: value for name, value in values.items() if name != INITIAL_WINDOW}

    def _allowed(self, setting: int, default: int) -> int:
        """Give the highest value that may be in force."""
        now = self._settings.get(setting, default)
        return max([now, *(values.get(setting, 0) for values in self._unacknowledged)])

    # --- the client's side

    def client_sent(self, type_: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check a frame of the client's."""
        name = f"frame {type_} with flags {flags} and {len(payload)} bytes on stream {stream_id}"
        if self._first and (type_ != SETTINGS or flags & ACK):
            self._problem(f"the first frame is no SETTINGS: {name}")
        self._first = False
        if type_ not in (DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION):
            self._problem(f"a type that a client does not send: {name}")
        if flags & ~_FLAGS.get(type_, 0):
            self._problem(f"flags that are not defined: {name}")
        if len(payload) > self._allowed(MAX_FRAME, 16_384) or len(payload) != _SIZES.get(type_, len(payload)):
            self._problem(f"a size that is not allowed: {name}")
        if (type_ in (SETTINGS, PING, GOAWAY) and stream_id) or (type_ in (DATA, HEADERS, RST) and not stream_id & 1):
            self._problem(f"a stream that is not allowed: {name}")
        if (self._block or type_ == CONTINUATION) and (type_ != CONTINUATION or stream_id != self._block):
            self._problem(f"a header block is interrupted: {name}")
        if type_ == HEADERS:
            self._headers(flags, stream_id)
        elif type_ == CONTINUATION and flags & END_HEADERS:
            self._block = 0
        elif type_ == DATA:
            self._data(flags, stream_id, len(payload))
        elif type_ == RST:
            self._rst(stream_id)
        elif type_ == SETTINGS:
            if flags & ACK:
                self._acknowledged()
            elif len(payload) % 6:
                self._problem(name)
        elif type_ == WINDOW:
            self._update(stream_id, int.from_bytes(payload, "big"))

    def _headers(self, flags: int, stream_id: int) -> None:
        if stream_id <= self._last_id:
            self._problem(f"stream {stream_id} is opened after {self._last_id}")
        if sum(not (s.sent_end and s.ended) for s in self.streams.values()) >= self._allowed(MAX_STREAMS, _UNLIMITED):
            self._problem(f"stream {stream_id} is one more than the server allows")
        self._last_id = max(self._last_id, stream_id)
        self.streams[stream_id] = _Stream(self._settings[INITIAL_WINDOW], sent_end=bool(flags & END))
        self._block = 0 if flags & END_HEADERS else stream_id

    def _data(self, flags: int, stream_id: int, size: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None or stream.reset or (stream.sent_end and not stream.ended):
            self._problem(f"content on stream {stream_id}, which is not open")
            return
        self.window -= size
        stream.window -= size
        if size and (self.window < 0 or stream.window < 0):
            self._problem(f"{size} bytes on stream {stream_id} are more than its window or the connection's allows")
        stream.sent_end = stream.sent_end or bool(flags & END)

    def _rst(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None or stream.reset:
            self._problem(f"a reset of stream {stream_id}, which is not open")
            return
        stream.reset = stream.sent_end = stream.ended = True

    def _update(self, stream_id: int, increment: int) -> None:
        if not 0 < increment < 1 << 31:
            self._problem(f"a window update of {increment} on stream {stream_id}")
        stream = self.streams.get(stream_id)
        if stream_id and (stream is None or stream.reset):
            self._problem(f"a window update of stream {stream_id}, which is not open")

    def _problem(self, text: str) -> None:
        self.problems.append(text)
