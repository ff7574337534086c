"""Vectors that others wrote, in tests/conformance with their licences: single frames, and stories of header blocks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import hpack
import pytest

from headrace.transport.h2.engine import Engine, H2Limits, events, frames, headers
from headrace.transport.h2.engine.frames import StreamFault
from headrace.transport.h2.engine.headers import BlockDecoder
from headrace.transport.h2.engine.streams import Stream

VECTORS = Path(__file__).parents[3] / "conformance"
FRAMES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text())
    for path in sorted((VECTORS / "http2-frames").rglob("*.json"))
}
BAD = {name: vector for name, vector in FRAMES.items() if vector["error"]}
GOOD = {name: vector for name, vector in FRAMES.items() if not vector["error"]}
ENCODERS = ("haskell-http2-linear-huffman", "python-hpack", "nghttp2-16384-4096", "nghttp2-change-table-size")


def reading(wire: bytes) -> tuple[Engine, list[Any]]:
    """Read one frame on a connection on which its stream, whatever its id, is open and has been answered."""
    engine = Engine(H2Limits(frame_bytes=16_384))
    engine.receive(frames.settings([]))
    engine.next_id = 1 << 30
    if stream_id := int.from_bytes(wire[5:9], "big") & 0x7FFFFFFF:
        engine.streams[stream_id] = Stream(stream_id, 65_535, 65_535, status=200, content_left=None)
    engine.take_output()
    return engine, engine.receive(wire)


def test_none_is_missing() -> None:
    assert (len(GOOD), len(BAD)) == (12, 22)


@pytest.mark.case("H2-4.2-06")
@pytest.mark.parametrize("name", BAD)
def test_h2_4_2_06_a_bad_frame_has_one_of_its_codes(name: str) -> None:
    engine, reported = reading(bytes.fromhex(BAD[name]["wire"]))
    codes = [event.code for event in reported if isinstance(event, events.Failed | events.Reset)]
    assert len(codes) == 1
    assert codes[0] in BAD[name]["error"]
    assert engine.failure is not None or name in ("error/priority-frame-size", "error/window_update-frame-increment")


#: Frames that end the connection though they are well formed: no push was allowed, no block is open, "this is dummy"
#: is no header block.
ENDS = {
    "push_promise/normal": 1,
    "continuation/normal": 1,
    "continuation/header": 1,
    "headers/normal": 9,
    "headers/priority": 9,
}


@pytest.mark.case("H2-4.2-06")
@pytest.mark.parametrize("name", GOOD)
def test_h2_4_2_06_a_good_frame_is_read(name: str) -> None:
    vector = GOOD[name]
    fields = vector["frame"]
    payload = fields["frame_payload"]
    engine, reported = reading(bytes.fromhex(vector["wire"]))
    if name in ENDS:
        assert engine.failure is not None
        assert engine.failure.code == ENDS[name]
        return
    assert engine.failure is None
    if fields["type"] == frames.DATA:
        (event,) = reported
        assert bytes(event.data) == payload["data"].encode()
        assert event.size == fields["length"]
    elif fields["type"] == frames.RST_STREAM:
        assert reported[0].code == payload["error_code"]
    elif fields["type"] == frames.GOAWAY:
        assert engine.last_id == payload["last_stream_id"]
        assert (reported[0].code, reported[0].debug) == (
            payload["error_code"],
            payload["additional_debug_data"].encode(),
        )
    elif fields["type"] == frames.PING:
        assert engine.take_output() == [frames.ping(payload["opaque_data"].encode(), ack=True)]


def written(name: str, fields: dict[str, Any], payload: dict[str, Any]) -> bytes:
    stream = fields["stream_identifier"]
    if name == "settings/normal":
        return frames.settings([(key, value) for key, value in payload["settings"]])
    if name == "ping/normal":
        return frames.ping(payload["opaque_data"].encode(), ack=False)
    if name == "goaway/normal":
        return frames.goaway(
            payload["last_stream_id"], payload["error_code"], payload["additional_debug_data"].encode()
        )
    if name == "rst_stream/normal":
        return frames.rst_stream(stream, payload["error_code"])
    if name == "window_update/normal":
        return frames.window_update(stream, payload["window_size_increment"])
    return frames.headers(stream, payload["header_block_fragment"].encode(), False, 16_384)


@pytest.mark.case("H2-4.2-06")
@pytest.mark.parametrize(
    "name", [f"{kind}/normal" for kind in ("settings", "ping", "goaway", "rst_stream", "window_update", "headers")]
)
def test_h2_4_2_06_what_we_write_is_the_same(name: str) -> None:
    fields = GOOD[name]["frame"]
    assert written(name, fields, fields["frame_payload"]).hex() == GOOD[name]["wire"].lower()


def stories(encoder: str) -> dict[str, list[Any]]:
    read: dict[str, list[Any]] = json.loads(gzip.decompress((VECTORS / "hpack" / f"{encoder}.json.gz").read_bytes()))
    return read


@pytest.mark.case("HP-15")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_hp_15_stories_of_header_blocks(encoder: str) -> None:
    blocks = 0
    for cases in stories(encoder).values():
        decoder = BlockDecoder()
        for wire, fields, *sizes in cases:
            if sizes and sizes[0] is not None:  # a setting that the encoder has acknowledged just before
                decoder._decoder.max_allowed_table_size = sizes[0]
            raw = decoder.decode_raw(bytes.fromhex(wire))
            assert [[name.decode(), value.decode()] for name, value in raw] == fields
            blocks += 1
    assert blocks == 608


@pytest.mark.case("HP-15", "HP-06")
def test_hp_15_the_same_stories_without_a_table_are_looked_up_by_their_bytes() -> None:
    """Decode each block twice, the second time from the cache, and compare it with what was written."""
    decoder, encoder = BlockDecoder(), hpack.Encoder()
    encoder.header_table_size = 0
    decoder.settings_acknowledged()
    for cases in stories(ENCODERS[0]).values():
        for _, fields, *_ in cases:
            pairs = [(name, value) for name, value in fields if name[0] != ":"]
            block = encoder.encode([(":status", "200"), *pairs])
            try:
                first, again = decoder.decode(block), decoder.decode(block)
            except StreamFault:  # such as `connection`, which HTTP/2 forbids
                assert any(name in headers._FORBIDDEN for name in (name.encode() for name, _ in pairs))
                continue
            assert (again is first) is (len(block) + first.size <= headers.CACHED_BYTES)
            assert first.items == tuple((name, value.strip(" \t")) for name, value in pairs)


@pytest.mark.case("HP-15")
def test_hp_15_what_we_write_is_read_by_others() -> None:
    decoder = hpack.Decoder()
    for cases in stories(ENCODERS[0]).values():
        for _, fields, *_ in cases:
            written = b"".join(headers.block([(name, value)], secret=name == "cookie") for name, value in fields)
            assert [list(pair) for pair in decoder.decode(written)] == fields
    assert not decoder.header_table.dynamic_entries


@pytest.mark.case("HP-16")
def test_hp_16_secrets_are_never_indexed() -> None:
    assert headers.block([("authorization", "Key x")], secret=True)[0] & 0xF0 == 0x10
