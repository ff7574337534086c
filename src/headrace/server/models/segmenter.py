"""Segmentation: the person in front, or else whatever stands out, against the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models import faces
from headrace.server.models._data import shipped
from headrace.server.models._images import encode, picture
from headrace.server.models._onnx import Network, threads
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE = 256
LONGEST_SIDE = 4096  # of a mask
LEAST_SHARE = 0.005
_PERSON_SCORE = 0.3


class Segmenter:
    """Cut a picture in two: "person" (where a face or a person is found in it, else "foreground") and "background".

    Each is a region with its mask, a PNG of the picture's size (255 inside, 0 outside), its bounding box, and a concept
    whose value is its share of the picture. `output_config`: `select_concepts`, `min_value` and `max_concepts`.
    """

    card = Card(
        id="selfie-segmentation",
        task="visual-segmenter",
        title="MediaPipe selfie segmentation",
        description="Separates the person in front from what is behind: two masks and their shares of the picture.",
        input_fields=("image",),
        output_fields=("regions",),
        licence="Apache-2.0",
        provenance=(
            "selfie_segmentation.tflite of Google's MediaPipe 0.10.14, made ONNX by tools/convert_selfie.py;"
            " mtcnn-faces and yolov3-tiny only decide whether the mask is called a person"
        ),
        size_bytes=227_900,
        weak_at="several people, people far away, animals and things: it was made for one person near the camera",
        sample="headrace predict --local --model_id selfie-segmentation --file_path astronaut.jpg --save .",
        weights=(faces.WEIGHTS,),
    )
    accepts: tuple[str, ...] = ()
    concurrency = threads()

    def load(self) -> None:
        """Open the networks."""
        from headrace.server.models.detector import yolo
        from headrace.server.models.faces import faces

        self._network = Network(shipped("models/selfie-segmentation.onnx"))
        self._faces, self._yolo = faces(), yolo()

    def predict(self, item: Item) -> Answer:
        """Segment one picture."""
        image = picture(item)
        inside = self._front(image)
        name = "person" if self._shows_person(image) else "foreground"
        regions = []
        for title, mask in ((name, inside), ("background", ~inside)):
            share = float(mask.mean())
            concepts = model.concept_list([(title, share)], item.config)
            if concepts and share >= LEAST_SHARE:
                regions.append(_region(mask, concepts))
        return Answer(pb.Data(regions=regions[: item.config.max_concepts or len(regions)]))

    def _front(self, image: Image) -> NDArray[np.bool_]:
        """Find what is in front: an array of the picture's size, or smaller where the picture is very large."""
        import numpy as np
        from PIL import Image

        square = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        x = (np.asarray(square, np.float32) / 255.0).transpose(2, 0, 1)[None]
        mask = Image.fromarray(self._network.run(["mask"], image=x)[0][0, 0])
        shrink = min(1.0, LONGEST_SIDE / max(image.size))
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        found: NDArray[np.bool_] = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) > 0.5
        return found

    def _shows_person(self, image: Image) -> bool:
        people = any(box.name == "person" for box in self._yolo.find(image, _PERSON_SCORE))
        return people or bool(self._faces.find(image))


def _region(mask: NDArray[np.bool_], concepts: list[pb.Concept]) -> pb.Region:
    import numpy as np
    from PIL import Image

    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    box = pb.BoundingBox(
        top_row=rows[0] / mask.shape[0],
        left_col=columns[0] / mask.shape[1],
        bottom_row=(rows[-1] + 1) / mask.shape[0],
        right_col=(columns[-1] + 1) / mask.shape[1],
    )
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    info = pb.ImageInfo(width=image.width, height=image.height, format="PNG", mode=image.mode)
    png = pb.Image(base64=encode(image), image_info=info)
    return pb.Region(
        region_info=pb.RegionInfo(bounding_box=box, mask=pb.Mask(image=png)),
        data=pb.Data(concepts=concepts),
        value=concepts[0].value,
    )
