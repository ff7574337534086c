"""Reading the frames that carry neither content nor headers. RFC 9113 sections 3.4, 6.1 and 6.3 to 6.9."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from headrace.transport.h2.engine import events, frames, settings
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault

if TYPE_CHECKING:
    from headrace.transport.h2.engine.connection import Engine
    from headrace.transport.h2.engine.reading import Reader

    Handler: TypeAlias = Callable[[Reader, "Frame", list[events.Event]], None]

_DEBUG_BYTES = 200


class Frame(NamedTuple):
    """A frame that has come whole."""

    flags: int
    stream_id: int
    payload: bytes


def check_preface(data: bytes) -> None:
    """Recognize servers that speak something else, by their first bytes.

    Raises:
        ConnectionFault: it says what they speak.
    """
    if data[:5] == b"HTTP/":
        shown = re.sub(r"[^ -~]+", " ", data[:_DEBUG_BYTES].decode("latin-1")).strip()
        raise ConnectionFault(Code.HTTP_1_1_REQUIRED, f"the server speaks HTTP/1.1, not HTTP/2: {shown}")
    if len(data) >= 3 and data[0] in (0x15, 0x16) and data[1] == 0x03:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "the server seems to want TLS (https://)")


def check_opened(engine: Engine, stream_id: int, frame: str) -> None:
    """Check that a stream which is not open has been: frames may follow the end of one, never come before its begin."""
    if not stream_id & 1 or stream_id >= engine.next_id:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"{frame} for stream {stream_id}, which was never opened")


def unpadded(payload: bytes, flags: int) -> bytes:
    """Cut the padding off a payload, where its flags say that there is one."""
    if not flags & frames.PADDED:
        return payload
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without payload")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - padding]


def _check(kind: str, stream_id: int, payload: bytes, size: int, *, on_connection: bool) -> None:
    if bool(stream_id) is on_connection:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"{kind} on stream {stream_id}")
    if len(payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"{kind} of {len(payload)} bytes")


def _priority(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    stream = reader.engine.streams.get(frame.stream_id)
    if stream is not None and len(frame.payload) != 5:
        reader.fault(stream, StreamFault(Code.FRAME_SIZE_ERROR, f"PRIORITY of {len(frame.payload)} bytes"), reported)
        return
    _check("PRIORITY", frame.stream_id, frame.payload, 5, on_connection=False)
    reader.count_idle()


def _rst_stream(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    _check("RST_STREAM", frame.stream_id, frame.payload, 4, on_connection=False)
    stream = reader.engine.streams.pop(frame.stream_id, None)
    if stream is None:
        check_opened(reader.engine, frame.stream_id, "RST_STREAM")
        reader.count_idle()
        return
    reader.engine.output.drop(stream)
    reported.append(events.Reset(stream, int.from_bytes(frame.payload, "big")))


def _settings(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    if frame.flags & frames.ACK:
        _check("SETTINGS acknowledgement", frame.stream_id, frame.payload, 0, on_connection=True)
        if not reader.engine.unacknowledged:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS acknowledged that were not sent")
        reader.engine.unacknowledged -= 1
        reader.engine.decoder.settings_acknowledged()
        return
    _check("SETTINGS", frame.stream_id, frame.payload, len(frame.payload) // 6 * 6, on_connection=True)
    peer, before = reader.engine.peer, reader.engine.peer.window_bytes
    for name, value in frames.setting.iter_unpack(frame.payload):
        peer.apply(name, value)
        if name == settings.HEADER_TABLE_SIZE:
            reader.engine.table_updates.changed(value)
    cost = 1 + len(frame.payload) // 48
    if delta := peer.window_bytes - before:
        cost += len(reader.engine.streams) // 8
        for stream in reader.engine.streams.values():
            stream.send_window += delta
            if stream.send_window > frames.MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, f"the window of stream {stream.id} is too large")
    if reader.engine.ready:
        reader.count_idle(cost)
    reader.engine.ready = True
    _reply(reader.engine, frames.SETTINGS_ACK)
    reported.append(events.SettingsChanged())


def _push_promise(*_: object) -> None:
    raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off")


def _ping(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    _check("PING", frame.stream_id, frame.payload, 8, on_connection=True)
    if frame.flags & frames.ACK:
        reported.append(events.Pong(frame.payload))
    else:
        _reply(reader.engine, frames.ping(frame.payload, ack=True))


def _goaway(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    _check("GOAWAY", frame.stream_id, frame.payload, max(8, len(frame.payload)), on_connection=True)
    last_id, code = frames.two_words(frame.payload)
    reader.count_idle()
    reader.engine.draining = True
    reader.engine.last_id = min(reader.engine.last_id, last_id & 0x7FFFFFFF)
    reported.append(events.GoAway(reader.engine.last_id, code, frame.payload[8 : 8 + _DEBUG_BYTES]))
    for stream in [stream for stream in reader.engine.streams.values() if stream.id > reader.engine.last_id]:
        del reader.engine.streams[stream.id]
        reader.engine.output.drop(stream)
        reported.append(events.Unprocessed(stream))


def _window_update(reader: Reader, frame: Frame, reported: list[events.Event]) -> None:
    if len(frame.payload) != 4:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(frame.payload)} bytes")
    increment = int.from_bytes(frame.payload, "big") & 0x7FFFFFFF
    output = reader.engine.output
    if not output.waiting:
        reader.count_idle()
    if not frame.stream_id:
        if not increment:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        output.window += increment
        if output.window > frames.MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is too large")
        return
    stream = reader.engine.streams.get(frame.stream_id)
    if stream is None:
        check_opened(reader.engine, frame.stream_id, "WINDOW_UPDATE")
        return
    stream.send_window += increment
    if not increment:
        reader.fault(stream, StreamFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0"), reported)
    elif stream.send_window > frames.MAX_WINDOW:
        reader.fault(stream, StreamFault(Code.FLOW_CONTROL_ERROR, "the stream's window is too large"), reported)


def _reply(engine: Engine, frame: bytes) -> None:
    engine.replies += 1
    if engine.replies > engine.limits.replies:
        raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"{engine.replies} acknowledgements wait to be read")
    engine.output.frames.append(frame)


HANDLERS: dict[int, Handler] = {
    frames.PRIORITY: _priority,
    frames.RST_STREAM: _rst_stream,
    frames.SETTINGS: _settings,
    frames.PUSH_PROMISE: _push_promise,
    frames.PING: _ping,
    frames.GOAWAY: _goaway,
    frames.WINDOW_UPDATE: _window_update,
}
