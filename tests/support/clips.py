"""Videos for tests, rendered: a photo of a cup of coffee that moves over a grey ground, at times that are known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

import headrace

PHOTO = Path(headrace.__file__).parent / "data/samples/photos/coffee.jpg"
SIZE = (640, 400)
CUP = (300, 200)  # size of the photo in the picture
GREY = (128, 128, 128)
BITS = 10  # of the number that each frame shows
#: Where the cup is in the photo, as fractions: left, top, right, bottom.
CUP_IN_PHOTO = (0.14, 0.05, 0.83, 0.95)


@dataclass(frozen=True)
class Clip:
    """A rendered video: its frames' times in seconds, and where the photo's left edge is in each, in pixels."""

    path: Path
    times: Sequence[Fraction]
    lefts: Sequence[int]


@lru_cache(maxsize=1)
def _photo() -> Image.Image:
    return Image.open(PHOTO).convert("RGB").resize(CUP)


def picture(left: int, number: int = 0) -> Image.Image:
    """Paste the photo, and the frame's number as white and black squares along the lower edge."""
    ground = Image.new("RGB", SIZE, GREY)
    ground.paste(_photo(), (left, (SIZE[1] - CUP[1]) // 2))
    for bit in range(BITS):
        ground.paste("white" if number >> bit & 1 else "black", _square(bit))
    return ground


def _square(bit: int) -> tuple[int, int, int, int]:
    return bit * 20, SIZE[1] - 20, bit * 20 + 20, SIZE[1]


def number_of(frame: Image.Image) -> int:
    """Read the frame's number from its squares."""
    levels = [frame.convert("L").crop(_square(bit)).resize((1, 1)).getpixel((0, 0)) for bit in range(BITS)]
    return sum(1 << bit for bit, level in enumerate(levels) if isinstance(level, int) and level > 128)


def render(path: Path, times: Sequence[Fraction | float], *, gop: int = 10, index_first: bool = False) -> Clip:
    """Write a video whose frames have exactly these presentation times (to 1/90,000 s), the photo moving rightwards.

    Args:
        gop: frames from one that stands for itself to the next.
        index_first: put an MP4's index in front, as files for the web have it.
    """
    exact = [Fraction(time).limit_denominator(90_000) for time in times]
    room = SIZE[0] - CUP[0]
    lefts = [round(room * number / max(1, len(exact) - 1)) for number in range(len(exact))]
    base = Fraction(1, 90_000)
    settings = {"movflags": "+faststart"} if index_first else {}
    with av.open(str(path), "w", options=settings) as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        stream.codec_context.time_base = base
        stream.time_base = base
        for number, (time, left) in enumerate(zip(exact, lefts, strict=True)):
            frame = av.VideoFrame.from_image(picture(left, number))
            frame.pts = int(time / base)
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Clip(path, exact, lefts)


def steady(path: Path, seconds: float, fps: int = 30, **settings: Any) -> Clip:
    """Write a video of a steady rate."""
    return render(path, [Fraction(number, fps) for number in range(round(seconds * fps))], **settings)


def uneven(path: Path, count: int = 60, **settings: Any) -> Clip:
    """Write a video of a rate that varies: frames 10 to 170 ms apart, in whole milliseconds."""
    gaps = np.random.default_rng(7).integers(10, 170, count - 1)
    times = [Fraction(0)]
    for gap in gaps.tolist():
        times.append(times[-1] + Fraction(gap, 1000))
    return render(path, times, **settings)


def sound_only(path: Path) -> Path:
    """Write a file with a sound and no video."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16_000, layout="mono")
        for number in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def tiny(container: str, codec: str) -> bytes:
    """Encode three small grey pictures, or a moment of silence, with a codec into a container."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        if av.Codec(codec, "w").type == "video":
            stream: Any = target.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            frames: list[Any] = [av.VideoFrame.from_image(Image.new("RGB", (64, 48), GREY)) for _ in range(3)]
        else:
            rate = 48_000
            stream = target.add_stream(codec, rate=rate, layout="mono")
            silence = np.zeros((1, 4096), np.int16)
            frames = [av.AudioFrame.from_ndarray(silence, format="s16", layout="mono") for _ in range(3)]
            for number, frame in enumerate(frames):
                frame.sample_rate, frame.pts = rate, number * 4096
        for frame in frames:
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()
