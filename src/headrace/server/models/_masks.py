"""A picture cut in two: what is in front and what is behind, as regions with masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server import model
from headrace.server.model import Answer, OutputConfig
from headrace.server.models._images import encode
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

LONGEST_SIDE = 4096  # of a mask
LEAST_SHARE = 0.005


def enlarged(values: NDArray[np.float32], image: Image) -> NDArray[np.bool_]:
    """Make a mask of a network's map: where it is over a half, in the size of the picture (at most 4096 a side)."""
    import numpy as np
    from PIL import Image

    shrink = min(1.0, LONGEST_SIDE / max(image.size))
    size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
    mask: NDArray[np.bool_] = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)) > 0.5
    return mask


def cut(inside: NDArray[np.bool_], name: str, config: OutputConfig) -> Answer:
    """Make two regions, `name` and "background", valued by their shares of the picture; tiny ones are left out."""
    regions = []
    for title, mask in ((name, inside), ("background", ~inside)):
        share = float(mask.mean())
        concepts = model.concept_list([(title, share)], config)
        if concepts and share >= LEAST_SHARE:
            regions.append(_region(mask, concepts))
    return Answer(pb.Data(regions=regions[: config.max_concepts or len(regions)]))


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
