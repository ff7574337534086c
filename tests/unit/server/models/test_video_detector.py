"""Objects in videos: the shipped photos filmed one after the other, and files that are no good."""

from __future__ import annotations

import io
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models import _media
from headrace.server.models._data import shipped
from headrace.server.models.video_detector import VideoDetector
from headrace.v2 import resources_pb2 as pb

VIDEO = shipped("samples/videos/photos.mp4")  # two seconds each: a cup, a photographer, a cat; 10 frames a second


@pytest.fixture(scope="module")
def detector() -> VideoDetector:
    model = VideoDetector()
    model.load()
    return model


def film(count: int, rate: Fraction, format: str = "mp4", codec: str = "mpeg4", side: int = 64) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for i in range(count):
            picture = Image.new("RGB", (side, side), (i * 20 % 256, 0, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
    return target.getvalue()


def names(frame: pb.Frame) -> set[str]:
    return {region.data.concepts[0].name for region in frame.data.regions}


def test_objects_are_found_when_they_are_shown(detector: VideoDetector) -> None:
    frames = detector.predict(Item(video=VIDEO.read_bytes(), config=OutputConfig(sample_ms=500))).data.frames
    assert [frame.frame_info.time for frame in frames] == list(range(250, 6000, 500))
    assert [frame.frame_info.index for frame in frames] == list(range(12))
    assert [frame.frame_info.number for frame in frames] == list(range(2, 60, 5))
    assert all({c.name for c in frame.data.concepts} == names(frame) for frame in frames)
    assert all(names(frame) == {"cup"} for frame in frames[:4])
    assert all(names(frame) == {"person"} for frame in frames[4:8])
    assert set().union(*map(names, frames[8:])) == {"cat"}


def test_a_frame_a_second_is_the_default(detector: VideoDetector) -> None:
    frames = detector.predict(Item(video=VIDEO.read_bytes())).data.frames
    assert [frame.frame_info.time for frame in frames] == [500, 1500, 2500, 3500, 4500, 5500]


def test_the_output_configuration_is_honoured(detector: VideoDetector) -> None:
    config = OutputConfig(sample_ms=2000, select_concepts=("person",), min_value=0.5)
    frames = detector.predict(Item(video=VIDEO.read_bytes(), config=config)).data.frames
    assert [names(frame) for frame in frames] == [set(), {"person"}, set()]


def test_a_cancelled_video_ends_early(detector: VideoDetector) -> None:
    item = Item(video=VIDEO.read_bytes())
    item.cancelled.set()
    assert list(detector.predict(item).data.frames) == []


@pytest.mark.parametrize(
    ("format", "codec"),
    [("mp4", "mpeg4"), ("mov", "mpeg4"), ("3gp", "mpeg4"), ("avi", "mpeg4"), ("asf", "wmv2"), ("matroska", "mpeg4")],
)
def test_the_documented_formats_are_read(format: str, codec: str) -> None:
    data = film(20, Fraction(10), format, codec)
    found = [(number, time) for number, time, _ in _media.frames(data, 500, 64, threading.Event())]
    assert found == [(2, 250), (7, 750), (12, 1250), (17, 1750)]


def test_the_format_is_forced_and_only_bytes_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[object, object]] = []
    real = av.open

    def spy(file: object, *args: object, **options: object) -> object:
        opened.append((type(file), options.get("format")))
        return real(file, *args, **options)

    films = {format: film(1, Fraction(10), format) for format in ("mp4", "avi", "matroska")}
    monkeypatch.setattr(av, "open", spy)
    for data in films.values():
        list(_media.frames(data, 500, 64, threading.Event()))
    assert opened == [(io.BytesIO, "mov"), (io.BytesIO, "avi"), (io.BytesIO, "matroska")]


def test_large_frames_are_given_smaller() -> None:
    (one,) = (image for _, _, image in _media.frames(film(1, Fraction(10), side=640), 100, 320, threading.Event()))
    assert one.size == (320, 320)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 31300),
        (b"no video at all", 31101),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 31101),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 31101),
        (b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>", 31101),
        (b"\x00\x00\x00\x18ftypisom" + bytes(100), 31300),
        (VIDEO.read_bytes()[:3000], 31300),
    ],
)
def test_what_is_no_video_is_named(detector: VideoDetector, data: bytes, code: int) -> None:
    with pytest.raises(ModelError) as caught:
        detector.predict(Item(video=data))
    assert caught.value.code == code


def test_a_sound_is_no_video(detector: VideoDetector) -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ModelError, match="no video") as caught:
        detector.predict(Item(video=target.getvalue()))
    assert caught.value.code == 31300


@pytest.mark.parametrize("format", ["mp4", "avi"])
def test_eleven_minutes_are_too_long(detector: VideoDetector, format: str) -> None:
    with pytest.raises(ModelError, match="at most 10 minutes") as caught:
        detector.predict(Item(video=film(12, Fraction(1, 60), format)))
    assert caught.value.code == 31105


def test_too_many_frames_to_look_at_are_refused(detector: VideoDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_media, "MAX_FRAMES", 5)
    with pytest.raises(ModelError, match="larger sample_ms") as caught:
        detector.predict(Item(video=VIDEO.read_bytes()))
    assert caught.value.code == 31105


def test_frames_too_large_are_refused_before_decoding(detector: VideoDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_media, "MAX_FRAME_PIXELS", 480 * 320 - 1)
    with pytest.raises(ModelError, match="480 x 320") as caught:
        detector.predict(Item(video=VIDEO.read_bytes()))
    assert caught.value.code == 31105


def test_the_files_themselves_are_never_opened(detector: VideoDetector, tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(VIDEO.read_bytes())
    for text in (f"ffconcat version 1.0\nfile {tmp_path}/real.mp4\n", f"{tmp_path}/real.mp4"):
        with pytest.raises(ModelError):
            detector.predict(Item(video=text.encode()))


def test_a_codec_that_nobody_knows_is_the_inputs_fault(detector: VideoDetector) -> None:
    data = film(5, Fraction(10), "avi").replace(b"FMP4", b"zzzz")
    with pytest.raises(ModelError, match="codec is not known") as caught:
        detector.predict(Item(video=data))
    assert caught.value.code == 31101
