"""Text to image, for coloured shapes: a very small network of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._answers import image as image_answer
from headrace.server.models._data import labels, shipped
from headrace.server.models._onnx import Network, threads
from headrace.server.models._params import whole, words
from headrace.server.models._shape_text import SHAPES, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WORDS = 32
SIDE, LEAST_SIDE, MAX_SIDE = 256, 64, 1024
_UNKNOWN, _FIRST_WORD = 1, 2  # 0 is padding
_SLOTS, _CHANCE = 4, 5
_POINTS = 1 << 15  # drawn at a time, so that large pictures need no more memory


class ShapesToImage:
    """Draw what a sentence says of up to four coloured shapes, their sizes and places; PNG.

    Inference parameters: `width` and `height` (64..1024, 256), `seed` (whole, random): the same seed and sentence make
    the same picture; another seed places, sizes and tilts the shapes a little differently.
    """

    card: Card = Card(
        id="shapes-to-image",
        task="text-to-image",
        title="Coloured shapes from text",
        description="Draws up to four coloured shapes as an English sentence says: kinds, colours, sizes, places.",
        input_fields=("text",),
        output_fields=("image",),
        licence="Apache-2.0",
        provenance="part of headrace: half a million parameters, trained by tools/train_shapes.py on pictures it draws",
        size_bytes=2_058_000,
        weak_at=(
            f"everything else: it knows {', '.join(SHAPES)}, twelve colours, five sizes, nine places, a background's"
            " colour, above, below, left of, right of and inside (of two shapes), numbers up to four; no other word"
        ),
        sample=(
            "headrace predict --local --model_id shapes-to-image --input_type text --save ."
            " --bytes 'a large red circle on the left and a small blue star on the right'"
        ),
    )
    accepts: tuple[str, ...] = ("width", "height", "seed")
    concurrency: int = threads()

    def load(self) -> None:
        """Open the network."""
        self._network = Network(shipped("models/shapes-to-image.onnx"))
        self._vocabulary = {word: i + _FIRST_WORD for i, word in enumerate(labels("shapes-words"))}

    def predict(self, item: Item) -> Answer:
        """Draw one sentence."""
        import numpy as np
        from PIL import Image

        ids = self._ids(words(item))
        width, height = (
            whole(item, "width", SIDE, LEAST_SIDE, MAX_SIDE),
            whole(item, "height", SIDE, LEAST_SIDE, MAX_SIDE),
        )
        seed = whole(item, "seed", 0, 0, 2**32 - 1) if item.params.get("seed") is not None else None
        chance = np.random.default_rng(seed).uniform(-1, 1, (1, _SLOTS, _CHANCE)).astype(np.float32)
        points = _points(width, height)
        parts = []
        for i in range(0, len(points), _POINTS):
            if item.cancelled.is_set():
                raise ModelError(40035, "cancelled")
            parts.append(self._network.run(None, words=ids, chance=chance, points=points[None, i : i + _POINTS])[0][0])
        colours = np.concatenate(parts).reshape(height, width, 3).clip(0.0, 1.0)
        return image_answer(Image.fromarray((colours * 255.0).round().astype(np.uint8)))

    def _ids(self, text: str) -> NDArray[np.int64]:
        import numpy as np

        words = tokens(text)
        if len(words) > MAX_WORDS:
            raise ModelError(30105, f"the prompt has {len(words)} words; at most {MAX_WORDS} are read")
        ids = np.zeros((1, MAX_WORDS), np.int64)
        ids[0, : len(words)] = [self._vocabulary.get(word, _UNKNOWN) for word in words]
        return ids


def _points(width: int, height: int) -> NDArray[np.float32]:
    """List the middles of all pixels; the shorter side goes from 0 to 1, the longer one beyond on both ends."""
    import numpy as np

    side = min(width, height)
    row, column = np.mgrid[0:height, 0:width]
    x, y = (column + 0.5 - (width - side) / 2) / side, (row + 0.5 - (height - side) / 2) / side
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
