"""Image embedder: what EfficientNet-Lite0 sees before it decides on a class."""

from __future__ import annotations

from headrace.server.model import Answer, Card, Item
from headrace.server.models._answers import embedding
from headrace.server.models._images import picture
from headrace.server.models._onnx import threads
from headrace.server.models.classifier import LICENCE, PROVENANCE, SIDE, SIZE_BYTES

DIMENSIONS = 1280


class ImageEmbedder:
    """Turn a picture into 1280 numbers (unit length); pictures of like things have a cosine near 1."""

    card: Card = Card(
        id="efficientnet-lite0-embedding",
        task="visual-embedder",
        title="EfficientNet-Lite0 embedding",
        description="Turns a picture into a vector of 1280 numbers, for finding similar pictures by their cosine.",
        input_fields=("image",),
        output_fields=("embeddings",),
        licence=LICENCE,
        provenance=PROVENANCE,
        size_bytes=SIZE_BYTES,
        weak_at="telling people or texts apart; it was trained to name objects, not to compare pictures with words",
        sample="headrace predict --local --model_id efficientnet-lite0-embedding samples/photos/cat.jpg -o json",
    )
    accepts: tuple[str, ...] = ()
    concurrency: int = threads()

    def load(self) -> None:
        """Open the network."""
        from headrace.server.models.classifier import namer

        self._namer = namer()

    def predict(self, item: Item) -> Answer:
        """Embed one picture."""
        vector = self._namer.embedding(picture(item, SIDE * 2))
        return embedding(vector / (float((vector * vector).sum()) ** 0.5))
