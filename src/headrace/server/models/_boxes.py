"""What the object detectors share: choosing a network's boxes, and the model around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from headrace.server import model
from headrace.server.model import Answer, Box, Item
from headrace.server.models._images import picture
from headrace.server.models._onnx import threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 416  # pixels of the square that the networks look at
LEAST_SCORE = 0.01
MAX_OVERLAP = 0.45  # boxes of one class that share more of their union are one object
SAME_PLACE = 0.9  # boxes of any classes that share more are one object: a cat is not also a dog


def keep(corners: NDArray[np.floating], values: NDArray[np.floating], classes: NDArray[np.integer]) -> list[int]:
    """Choose the best of boxes (n, 4: left, top, right, bottom) that show one object; indexes, best first."""
    import numpy as np

    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    chosen: list[int] = []
    candidates = np.argsort(-values, kind="stable")
    while len(candidates):
        best, rest = candidates[0], candidates[1:]
        chosen.append(int(best))
        low = np.maximum(corners[best, :2], corners[rest, :2])
        high = np.minimum(corners[best, 2:], corners[rest, 2:])
        shared = np.prod((high - low).clip(0), axis=1)
        overlap = shared / np.maximum(area[best] + area[rest] - shared, 1e-12)
        candidates = rest[overlap <= np.where(classes[rest] == classes[best], MAX_OVERLAP, SAME_PLACE)]
    return chosen


def named_boxes(
    corners: NDArray[np.floating],
    values: NDArray[np.floating],
    classes: NDArray[np.integer],
    names: Sequence[str],
) -> list[Box]:
    """Make boxes of those that `keep` chooses, best first; what lies outside of the picture is cut off.

    Args:
        corners: (n, 4), left, top, right and bottom as fractions of the picture.
        values: (n,) scores; `classes`: (n,) indexes of `names`.
    """
    corners = corners.clip(0.0, 1.0)
    boxes = []
    for i in keep(corners, values, classes):
        left, top, right, bottom = corners[i].tolist()
        if right > left and bottom > top:
            boxes.append(Box(names[int(classes[i])], float(values[i]), top, left, bottom, right))
    return boxes


class PictureDetector:
    """A model that finds objects in a picture; a subclass has its card, its least score and its network."""

    accepts: tuple[str, ...] = ()
    concurrency: int = threads()
    default_score: ClassVar[float]
    _find: Callable[[Image, float], list[Box]]  # set by `load`

    def predict(self, item: Item) -> Answer:
        """Find the objects in one picture."""
        boxes = self._find(picture(item, SIDE), item.config.min_value or self.default_score)
        return model.regions(boxes, item.config)
