"""Segmentation: the person in front, or else whatever stands out, against the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.model import Answer, Card, Item
from headrace.server.models import faces
from headrace.server.models._data import shipped
from headrace.server.models._images import picture
from headrace.server.models._masks import cut, enlarged
from headrace.server.models._onnx import Network, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 256
_PERSON_SCORE = 0.35


class Segmenter:
    """Cut a picture in two: "person" (if a face or a person is found in it, else "foreground") and "background".

    Each is a region with its mask, a PNG of the picture's size (255 inside, 0 outside), its bounding box, and a concept
    whose value is its share of the picture. `output_config`: `select_concepts`, `min_value` and `max_concepts`.
    """

    card: Card = Card(
        id="selfie-segmentation",
        task="visual-segmenter",
        title="MediaPipe selfie segmentation",
        description="Separates the person in front from what is behind: two masks and their shares of the picture.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="Apache-2.0",
        provenance=(
            "selfie_segmentation.tflite of Google's MediaPipe 0.10.14, made ONNX by tools/convert_selfie.py;"
            " mtcnn-faces and nanodet-g only decide whether the mask is called a person"
        ),
        size_bytes=227_900,
        weak_at="several people, people far away, animals and things: it was made for one person near the camera",
        sample="headrace predict --local --model_id selfie-segmentation samples/photos/astronaut.jpg --save .",
        weights=(faces.WEIGHTS,),
    )
    accepts: tuple[str, ...] = ()
    concurrency: int = threads()

    def load(self) -> None:
        """Open the networks."""
        from headrace.server.models.faces import faces
        from headrace.server.models.nanodet import nanodet

        self._network = Network(shipped("models/selfie-segmentation.onnx"))
        self._faces, self._detector = faces(), nanodet()

    def predict(self, item: Item) -> Answer:
        """Segment one picture."""
        image = picture(item)
        inside = self._front(image)
        name = "person" if self._shows_person(image) else "foreground"
        return cut(inside, name, item.config)

    def _front(self, image: Image) -> NDArray[np.bool_]:
        """Find what is in front: an array of the picture's size, or smaller if the picture is very large."""
        import numpy as np
        from PIL import Image

        square = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        x = (np.asarray(square, np.float32) / 255.0).transpose(2, 0, 1)[None]
        return enlarged(self._network.run(["mask"], image=x)[0][0, 0], image)

    def _shows_person(self, image: Image) -> bool:
        people = any(box.name == "person" for box in self._detector.find(image, _PERSON_SCORE))
        return people or bool(self._faces.find(image))
