"""Make the sample video: the shipped photos one after the other, two seconds each, the camera moving slowly.

    python tools/make_sample_video.py

Needs PyAV and Pillow. There is no video in the public domain that is small and shows what the detector knows; this
one is at least made of real photos, and says so.
"""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image

SAMPLES = Path(__file__).parents[1] / "src/headrace/data/samples"
PHOTOS = ("coffee", "photographer", "cat")
RATE = 10
SECONDS = 2
SIZE = (480, 320)


def view(photo: Image.Image, share: float) -> Image.Image:
    """Cut out 95 % of the photo, moving from left to right as `share` goes from 0 to 1, on a grey ground."""
    width, height = round(photo.width * 0.95), photo.height
    left = round((photo.width - width) * share)
    cut = photo.crop((left, 0, left + width, height))
    cut.thumbnail(SIZE)
    frame = Image.new("RGB", SIZE, (128, 128, 128))
    frame.paste(cut, ((SIZE[0] - cut.width) // 2, (SIZE[1] - cut.height) // 2))
    return frame


def main() -> None:
    target = SAMPLES / "videos/photos.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "26", "preset": "slow"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for name in PHOTOS:
            photo = Image.open(SAMPLES / f"photos/{name}.jpg").convert("RGB")
            for i in range(RATE * SECONDS):
                frame = av.VideoFrame.from_image(view(photo, i / (RATE * SECONDS - 1)))
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
