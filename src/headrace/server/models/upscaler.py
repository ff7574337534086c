"""Upscaling pictures: ACNet, a very small convolutional network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._answers import image as image_answer
from headrace.server.models._images import picture
from headrace.server.models._params import INVALID_PARAMETER, whole
from headrace.server.packages import needed

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_TIMES = 4
MAX_PIXELS = 36_000_000  # of the result


class Upscaler:
    """Make a picture larger and keep its edges sharp: twice as wide, or as `width` says; PNG.

    Inference parameters: `width` in pixels, from the picture's own width to four times that.
    """

    card: Card = Card(
        id="acnet-upscaler",
        task="image-to-image",
        title="ACNet upscaler",
        description="Makes a picture up to four times as wide and high, with sharper edges than plain resizing.",
        input_fields=("image",),
        output_fields=("image",),
        licence="MIT",
        provenance="the acnet-gan weights inside package pyanime4k 3.1.0 (Anime4KCPP), trained on drawn pictures",
        size_bytes=1_800_000,
        weak_at="inventing detail: on photos 1 dB better than bicubic where there are edges, no better on fur",
        sample="headrace predict --local --model_id acnet-upscaler samples/photos/cat.jpg --save .",
        packages=("pyanime4k",),
    )
    accepts: tuple[str, ...] = ("width",)

    def load(self) -> None:
        """Make the processor."""
        pyac = needed("pyanime4k").pyac
        self._processor: Any = pyac.core.Processor("cpu", 0, "acnet-gan")

    def predict(self, item: Item) -> Answer:
        """Upscale one picture."""
        small = picture(item)
        width = whole(item, "width", small.width * 2, 1, 1 << 20)
        if not small.width <= width <= small.width * MAX_TIMES:
            allowed = f"{small.width} (the picture's own) to {small.width * MAX_TIMES}"
            raise ModelError(INVALID_PARAMETER, f"parameter width is {width}; it must be from {allowed}")
        height = max(1, round(small.height * width / small.width))
        if width * height > MAX_PIXELS:
            reason = f"the result would have {width * height / 1e6:.0f} megapixels; at most {MAX_PIXELS // 10**6}"
            raise ModelError(INVALID_PARAMETER, f"{reason} are made, so ask for a smaller width")
        return image_answer(self._enlarged(small, width, height))

    def _enlarged(self, image: Image, width: int, height: int) -> Image:
        """Double the picture until it is large enough, then bring it to the exact size."""
        import numpy as np
        from PIL import Image

        for _ in range(math.ceil(math.log2(width / image.width)) if width > image.width else 0):
            larger = self._processor(np.ascontiguousarray(np.asarray(image)), 2.0)
            image = Image.fromarray(np.asarray(larger))
        return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
