"""Text in pictures: PP-OCRv6 by RapidOCR."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models._images import picture, smaller
from headrace.server.models._once import Once
from headrace.server.models._onnx import few_threads
from headrace.server.models._params import flag
from headrace.server.packages import needed
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_SCORE = 0.8  # below it a line is more often invented than read
LONGEST_SIDE = 2500  # larger pictures are made smaller first
MAX_ASPECT = 4  # how many times as long as wide a picture may be for the engine


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: what it says, how sure, and its corners as fractions of the picture."""

    text: str
    score: float
    top: float
    left: float
    bottom: float
    right: float


class Reader:
    """The three networks (find lines, turn them, read them): pictures in, lines out, from top to bottom."""

    def __init__(self) -> None:
        RapidOCR = needed("rapidocr").RapidOCR

        some_threads = {"EngineConfig.onnxruntime.intra_op_num_threads": few_threads()}
        self._engine: Any = RapidOCR(params={"Global.log_level": "critical", **some_threads})
        self._lock = threading.Lock()  # the engine keeps state between its steps

    def read(self, image: Image, least: float = DEFAULT_SCORE) -> list[Line]:
        """Read a picture's text.

        Args:
            least: the least score of a line, 0..1.
        """
        import numpy as np

        image = smaller(image, LONGEST_SIDE)
        padded = _less_narrow(image)
        with self._lock:
            result = self._engine(np.ascontiguousarray(np.asarray(padded)[:, :, ::-1]))
        if result.boxes is None or result.txts is None:
            return []
        lines = []
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            if score >= least and text.strip():
                left, top = np.clip(corners.min(0) / image.size, 0.0, 1.0).tolist()
                right, bottom = np.clip(corners.max(0) / image.size, 0.0, 1.0).tolist()
                lines.append(Line(text, float(score), top, left, bottom, right))
        return lines


def _less_narrow(image: Image) -> Image:
    """Widen a very narrow picture by its own background: the engine fails for some, and takes minutes for others."""
    from PIL import Image as Pictures

    least = -(-max(image.size) // MAX_ASPECT)
    if min(image.size) >= least:
        return image
    padded = Pictures.new("RGB", (max(image.width, least), max(image.height, least)), image.getpixel((0, 0)))
    padded.paste(image, (0, 0))
    return padded


#: The one that all models share.
reader: Once[Reader] = Once(Reader)


class Ocr:
    """Read the text in a picture: `text.raw`, a line a line.

    Inference parameters: `regions` (true: each line's text, score and place as `data.regions`, too).
    `output_config`: `min_value` is the least score of a line (0.8 when not given).
    """

    card: Card = Card(
        id="pp-ocrv6",
        task="image-to-text",
        title="PP-OCRv6 small",
        description="Reads printed text in pictures (English, Chinese and more), line by line.",
        input_fields=("image",),
        output_fields=("text",),
        licence="Apache-2.0",
        provenance="PaddleOCR's PP-OCRv6 small in ONNX form, inside package rapidocr 3.10.0",
        size_bytes=32_000_000,
        weak_at="handwriting, faint or strongly slanted text, lines that mix typefaces",
        sample="headrace predict --local --model_id pp-ocrv6 samples/pages/receipt.png",
        packages=("rapidocr",),
    )
    accepts: tuple[str, ...] = ("regions",)

    def load(self) -> None:
        """Open the networks that lie in the package."""

        self._reader = reader()

    def predict(self, item: Item) -> Answer:
        """Read one picture."""
        with_regions = flag(item, "regions")
        lines = self._reader.read(picture(item, LONGEST_SIDE), item.config.min_value or DEFAULT_SCORE)
        answer = model.text("\n".join(line.text for line in lines))
        if with_regions:
            answer.data.regions.extend(_region(line) for line in lines)
        return answer


def _region(line: Line) -> pb.Region:
    box = pb.BoundingBox(top_row=line.top, left_col=line.left, bottom_row=line.bottom, right_col=line.right)
    data = pb.Data(text=pb.Text(raw=line.text))
    return pb.Region(region_info=pb.RegionInfo(bounding_box=box), data=data, value=line.score)
