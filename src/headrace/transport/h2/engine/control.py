"""Reading the frames that carry neither content nor headers. RFC 9113 sections 6.3 to 6.9."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from headrace.transport.h2.engine import events, frames, settings
from headrace.transport.h2.engine.frames import Code, ConnectionFault, StreamFault
from headrace.transport.h2.engine.state import State

_DEBUG_BYTES, _SMALL_UPDATE = 200, 1_024


class Frame(NamedTuple):
    """A frame that has come whole."""

    flags: int
    stream_id: int
    payload: bytes


def _check(kind: str, frame: Frame, size: int, *, on_connection: bool) -> None:
    if bool(frame.stream_id) is on_connection:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"{kind} on stream {frame.stream_id}")
    if len(frame.payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"{kind} of {len(frame.payload)} bytes")


def _priority(state: State, frame: Frame, _: events.Reported) -> None:
    if frame.stream_id in state.streams and len(frame.payload) != 5:
        raise StreamFault(Code.FRAME_SIZE_ERROR, f"PRIORITY of {len(frame.payload)} bytes")
    _check("PRIORITY", frame, 5, on_connection=False)
    state.count_idle()


def _rst_stream(state: State, frame: Frame, reported: events.Reported) -> None:
    _check("RST_STREAM", frame, 4, on_connection=False)
    stream = state.opened(frame.stream_id, "RST_STREAM")
    if stream is None:
        state.count_idle()
        return
    state.forget(stream)
    if not stream.received_end:
        reported.append(events.Reset(stream, int.from_bytes(frame.payload, "big")))


def _settings(state: State, frame: Frame, reported: events.Reported) -> None:
    if frame.flags & frames.ACK:
        _check("SETTINGS acknowledgement", frame, 0, on_connection=True)
        if not state.unacknowledged:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS acknowledged that were not sent")
        state.unacknowledged -= 1
        state.decoder.settings_acknowledged()
        return
    _check("SETTINGS", frame, len(frame.payload) // 6 * 6, on_connection=True)
    peer, before = state.peer, state.peer.window_bytes
    for name, value in frames.setting.iter_unpack(frame.payload):
        peer.apply(name, value)
        if name == settings.HEADER_TABLE_SIZE:
            state.table_updates.changed(value)
    cost = 1 + len(frame.payload) // 48
    if delta := peer.window_bytes - before:
        cost += len(state.streams) // 8
        for stream in state.streams.values():
            stream.send_window += delta
            if stream.send_window > frames.MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, f"the window of stream {stream.id} is too large")
    if state.ready:
        state.count_idle(cost)
    else:
        state.ready = True
        state.can_open = not state.draining and state.next_id <= frames.MAX_STREAM_ID
    state.reply(frames.SETTINGS_ACK)
    reported.append(events.SettingsChanged())


def _push_promise(*_: object) -> None:
    raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off")


def _ping(state: State, frame: Frame, reported: events.Reported) -> None:
    _check("PING", frame, 8, on_connection=True)
    if frame.flags & frames.ACK:
        reported.append(events.Pong())
    else:
        state.reply(frames.ping(frame.payload, ack=True))


def _goaway(state: State, frame: Frame, reported: events.Reported) -> None:
    _check("GOAWAY", frame, max(8, len(frame.payload)), on_connection=True)
    last_id, code = (int.from_bytes(frame.payload[start : start + 4], "big") for start in (0, 4))
    state.count_idle()
    state.draining, state.can_open = True, False
    state.last_id = min(state.last_id, last_id & 0x7FFFFFFF)
    unprocessed = [stream for stream in state.streams.values() if stream.id > state.last_id]
    for stream in unprocessed:
        state.forget(stream)
    reported.append(events.GoAway(code, frame.payload[8 : 8 + _DEBUG_BYTES], unprocessed))


def _window_update(state: State, frame: Frame, _: events.Reported) -> None:
    if len(frame.payload) != 4:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(frame.payload)} bytes")
    increment = int.from_bytes(frame.payload, "big") & 0x7FFFFFFF
    if state.output.owed < increment < _SMALL_UPDATE:  # larger ones soon overflow the window
        state.count_idle()
    state.output.owed = max(0, state.output.owed - increment)
    if not frame.stream_id:
        if not increment:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        state.output.window += increment
        if state.output.window > frames.MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is too large")
        return
    stream = state.opened(frame.stream_id, "WINDOW_UPDATE")
    if stream is None:
        return
    stream.send_window += increment
    if not increment:
        raise StreamFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
    if stream.send_window > frames.MAX_WINDOW:
        raise StreamFault(Code.FLOW_CONTROL_ERROR, "the stream's window is too large")


HANDLERS: dict[int, Callable[[State, Frame, events.Reported], None]] = dict(
    enumerate((_priority, _rst_stream, _settings, _push_promise, _ping, _goaway, _window_update), frames.PRIORITY)
)
