"""Sounds as people have them: damaged in places, or in a codec that nobody knows."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from headrace.server.model import ModelError
from headrace.server.models import _media

SECONDS = 2
RATE = 16_000


def encoded(container: str, codec: str) -> bytes:
    """Encode two seconds of a tone."""
    out = io.BytesIO()
    tone = (10_000 * np.sin(np.arange(SECONDS * RATE) * 0.1)).astype(np.int16)
    with av.open(out, "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=RATE, layout="mono")
        for start in range(0, len(tone), 1000):
            frame: Any = av.AudioFrame.from_ndarray(tone[None, start : start + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def packets_of(data: bytes) -> list[tuple[int, int]]:
    """Give place and size of each packet."""
    with av.open(io.BytesIO(data)) as container:
        return [(p.pos, p.size) for p in container.demux(container.streams.audio[0]) if p.size and p.pos is not None]


def decoded(data: bytes) -> float:
    """Decode, and give the seconds that came of it."""
    return len(_media.sound(data, threading.Event())) / _media.SOUND_RATE


FORMATS = [("mp4", "aac"), ("flac", "flac"), ("mp3", "libmp3lame")]


@pytest.mark.parametrize(("container", "codec"), FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_damaged_packets_cost_their_samples_only(container: str, codec: str, share: float) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    data = bytearray(encoded(container, codec))
    packets = packets_of(bytes(data))
    for place, size in packets[3 : 3 + int(len(packets) * share)]:
        data[place : place + size] = b"\xff" * size
    seconds = decoded(bytes(data))
    assert SECONDS * (1 - share) - 0.5 < seconds < SECONDS + 0.3


def unknown_in_mp4(data: bytes) -> bytes:
    """Change the codec's name and its number, which lies in the box "esds"."""
    number = data.index(b"\x04", data.index(b"esds") + 8)  # a descriptor of the decoder: tag 4, its length, the number
    while data[number + 1] & 0x80:
        number += 1
    return (data[: number + 2] + b"\xfe" + data[number + 3 :]).replace(b"mp4a", b"zzzz")


def unknown_in_matroska(data: bytes) -> bytes:
    """Change the codec's name."""
    return data.replace(b"A_AAC", b"A_ZZZ")


@pytest.mark.parametrize(("container", "changed"), [("mp4", unknown_in_mp4), ("matroska", unknown_in_matroska)])
def test_a_codec_that_nobody_knows_is_named_as_that(container: str, changed: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ModelError, match="codec is not known") as caught:
        decoded(changed(encoded(container, "aac")))
    assert caught.value.code == 30101
