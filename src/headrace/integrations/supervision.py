"""Regions as `supervision.Detections` (extra `supervision`): for its annotators, trackers, zones and metrics.

`prediction.to_supervision(image)` and `frame.to_supervision()` are the usual ways in; `detections` takes any regions,
such as those of one frame of a video's prediction.
"""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace import media
from headrace.draw import Picture
from headrace.errors import ConfigError, InputError
from headrace.media import encoding, pictures
from headrace.results.views import Region
from headrace.support.extras import install
from headrace.support.later import later_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import supervision
else:
    np = later_module("numpy")
    npt = later_module("numpy.typing")
    supervision = later_module("supervision")


#: The picture that was sent, or its (width, height) in pixels.
PictureOrSize: TypeAlias = Picture | tuple[int, int]


def detections(
    regions: Sequence[Region], image: PictureOrSize, *, classes: Sequence[str] | None = None, masks: bool = True
) -> supervision.Detections:
    """Give regions as `supervision.Detections`.

    Boxes are in pixels (left, top, right, bottom), cut off at the picture's edges. A region that has a mask and no box
    (none whose edges are numbers in the right order) gets the box around its mask; one that has neither is left out.
    Masks have the picture's size; where some regions have one, the box of the others is theirs. A confidence that is
    not a number is 0. `data` has `class_name`, and `text` where a region has one. Regions with a `track_id` give
    `tracker_id`.

    Args:
        regions: such as `prediction.regions`.
        image: the picture that was sent (a path, bytes, a PIL picture or an array), or its (width, height) as a viewer
            shows it: regions are fractions of it.
        classes: the names in the order of their class ids; regions of other names are left out. None: a class id is a
            number made from the name, the same for the same name in every run.
        masks: whether to decode masks; each takes a byte for every pixel of the picture.

    Raises:
        ConfigError: supervision isn't installed, or the size is none.
        ValueError: not a picture.
        PredictionFailed: a mask that cannot be decoded.
    """
    try:
        import numpy as np
        import supervision as sv
    except ImportError as error:
        raise ConfigError(f"detections need {error.name or 'supervision'}: {install('supervision')}") from None
    size = _size(image)
    ids = None if classes is None else {name: number for number, name in enumerate(classes)}
    kept: list[Region] = []
    boxes: list[tuple[float, float, float, float]] = []
    inside: list[npt.NDArray[np.bool_] | None] = []
    for region in regions:
        if ids is not None and region.name not in ids:
            continue
        box = _pixels(region, size)
        mask = region.mask_array(size) if region.mask and (masks or box is None) else None
        box = box or _around(mask)
        if box is not None:
            kept.append(region)
            boxes.append(box)
            inside.append(mask if masks else None)
    names = [region.name for region in kept]
    data: dict[str, Any] = {"class_name": np.array(names, dtype=np.str_)}
    if any(region.text for region in kept):
        data["text"] = np.array([region.text for region in kept], dtype=np.str_)
    tracked = any(region.track_id for region in kept)
    return sv.Detections(
        xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        mask=_stacked(inside, boxes, size),
        confidence=np.array([_number(region.value) for region in kept], dtype=np.float32),
        class_id=np.array([ids[name] if ids is not None else _id_of(name) for name in names], dtype=np.int64),
        tracker_id=np.array([_track(region.track_id) for region in kept], dtype=np.int64) if tracked else None,
        data=data,
    )


def _size(image: PictureOrSize) -> tuple[int, int]:
    """Give the picture's (width, height), turned as a viewer shows it; of a file only the header is read."""
    if isinstance(image, tuple):
        width, height = image if len(image) == 2 else (0, 0)
        if not (width > 0 and height > 0):
            raise ConfigError(f"a picture's size is (width, height) in pixels, not {image!r}")
        return int(width), int(height)
    media.require("PIL.Image", "detections")
    if isinstance(image, str | os.PathLike):
        image = Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return _shown_size(bytes(image))
    try:
        shown: tuple[int, int] = encoding.image_of(image).size
    except InputError as error:
        raise ValueError(f"the size of {type(image).__name__} is not known: {error}") from error
    return shown


def _shown_size(data: bytes) -> tuple[int, int]:
    width, height = media.size(data)
    try:
        with pictures.opened(io.BytesIO(data)) as picture:
            sideways = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF's Orientation
    except Exception:  # a PNG with more texts than Pillow takes, or broken EXIF data: nothing says that it is turned
        sideways = False
    return (height, width) if sideways else (width, height)


def _pixels(region: Region, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Give the box in pixels; None where there is none, or its edges are not numbers or the wrong way round."""
    if not any(region.box) or any(map(math.isnan, region.box)):
        return None
    top, left, bottom, right = (min(max(edge, 0.0), 1.0) for edge in region.box)
    if bottom < top or right < left:
        return None
    width, height = size
    return left * width, top * height, right * width, bottom * height


def _around(mask: npt.NDArray[np.bool_] | None) -> tuple[float, float, float, float] | None:
    """Give the box around what a mask covers, None where it covers nothing."""
    if mask is None or not mask.any():
        return None
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _stacked(
    masks: list[npt.NDArray[np.bool_] | None], boxes: list[tuple[float, float, float, float]], size: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    """Give the masks as one array of shape (n, height, width); None where there are none."""
    import numpy as np

    if all(mask is None for mask in masks):
        return None
    width, height = size
    stack = np.zeros((len(masks), height, width), dtype=np.bool_)
    for layer, mask, (left, top, right, bottom) in zip(stack, masks, boxes, strict=True):
        if mask is not None:
            layer[:] = mask
        else:
            layer[round(top) : round(bottom), round(left) : round(right)] = True
    return stack


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _id_of(name: str) -> int:
    return zlib.crc32(name.encode(errors="replace")) & 0x7FFFFFFF


def _track(track_id: str) -> int:
    """Give a track as a number: itself where it is one, -1 where there is none."""
    if not track_id:
        return -1
    return int(track_id) if track_id.isdecimal() and len(track_id) < 19 else _id_of(track_id)
