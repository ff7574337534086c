"""The typed views of an answer, and how they are read from the protocol's messages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from headrace import media
from headrace.errors import PredictionFailed
from headrace.support.later import later_module
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image
else:
    Image = later_module("PIL.Image")
    np = later_module("numpy")
    npt = later_module("numpy.typing")


class Concept(NamedTuple):
    """A label with its value (0..1). Source: `data.concepts`."""

    name: str
    value: float
    id: str = ""


class Box(NamedTuple):
    """The edges of a box as fractions of a picture; rows are counted downwards."""

    top: float
    left: float
    bottom: float
    right: float


class PixelBox(NamedTuple):
    """The edges of a box in whole pixels; rows are counted downwards."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture: corners as fractions (0..1, rows downwards), its concepts, its mask as PNG bytes or None.

    `point`, if the region is one, is (left, top) in the same fractions, else None.

    Source: `data.regions`, `region_info.bounding_box`, `region_info.mask`, `region_info.point`.
    """

    top: float
    left: float
    bottom: float
    right: float
    value: float
    concepts: tuple[Concept, ...] = ()
    mask: bytes | None = None
    text: str = ""
    track_id: str = ""
    id: str = ""
    point: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The best concept's name, "" when there is none."""
        return self.concepts[0].name if self.concepts else ""

    @property
    def box(self) -> Box:
        """The box as (top, left, bottom, right) in fractions of the picture; all 0 if there is none."""
        return Box(self.top, self.left, self.bottom, self.right)

    @property
    def data(self) -> Region:
        """The region itself, for the documents' path `region.data.concepts`."""
        return self

    def pixels(self, width: int, height: int) -> PixelBox:
        """The box as (top, left, bottom, right) in pixels of a picture of `width` x `height`, cut off at its edges.

        Raises:
            PredictionFailed: an edge is not a number.
        """
        if any(map(math.isnan, self.box)):
            raise PredictionFailed(f"the box of region {self.name!r} has an edge that is not a number")
        edges = zip(self.box, (height, width, height, width), strict=True)
        return PixelBox(*(round(min(max(edge, 0.0), 1.0) * size) for edge, size in edges))

    def mask_picture(self) -> Image.Image:
        """Decode the mask, which covers the whole picture: mode "L", 255 where it is surest, 0 outside.

        Raises:
            ConfigError: Pillow isn't installed (extra `images`).
            PredictionFailed: there is no mask, or it cannot be decoded, or it has more than 85 megapixels.
        """
        if self.mask is None:
            raise PredictionFailed(f"region {self.name!r} has no mask")
        try:
            return media.decode_mask(self.mask)
        except media.BadPicture as error:
            raise PredictionFailed(f"the mask of region {self.name!r} cannot be used: {error}") from error

    def mask_array(self, size: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
        """Decode the mask as an array of shape (height, width): True for the pixels that belong to the region.

        Those are the ones of at least half of the brightest. For the values themselves, `mask_picture()`.

        Args:
            size: (width, height) of the picture that the mask is for; None: the mask's own size, which can be smaller.

        Raises:
            ConfigError: Pillow or numpy isn't installed (extra `images`).
            PredictionFailed: as for `mask_picture`.
        """
        numpy = media.require("numpy", "masks as arrays")
        picture = self.mask_picture()
        if size is not None and size != picture.size:
            picture = picture.resize(size)
        inside: npt.NDArray[np.bool_] = numpy.asarray(picture) >= 128
        return inside


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video: its index, its time in milliseconds, what was found; its encoded picture and its text.

    Source: `data.frames`.
    """

    index: int
    time_ms: int
    concepts: tuple[Concept, ...] = ()
    regions: tuple[Region, ...] = ()
    image: bytes | None = None
    text: str = ""

    @property
    def time(self) -> float:
        """Its time in seconds from the start of the video."""
        return self.time_ms / 1000

    @property
    def data(self) -> Frame:
        """The frame itself, for the documents' path `frame.data.concepts`."""
        return self


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer cost, as the server counts them. Source: `outputs[].prompt_tokens` and siblings."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Status:
    """The server's status of an output or response."""

    code: int
    description: str = ""
    details: str = ""
    request_id: str = ""


_new = tuple.__new__  # a named tuple's own constructor costs twice as much


def concepts_of(data: pb.Data) -> tuple[Concept, ...]:
    """Read the concepts of a part of the protocol's data."""
    return tuple([_new(Concept, (c.name, c.value, c.id)) for c in data.concepts])


def frames_of(data: pb.Data) -> tuple[Frame, ...]:
    """Read the frames of a part of the protocol's data."""
    return tuple(
        Frame(
            frame.frame_info.index,
            frame.frame_info.time,
            concepts_of(frame.data),
            regions_of(frame.data),
            frame.data.image.base64 or None,
            frame.data.text.raw,
        )
        for frame in data.frames
    )


def regions_of(data: pb.Data) -> tuple[Region, ...]:
    """Read the regions of a part of the protocol's data."""
    regions = []
    for region in data.regions:
        info = region.region_info
        box = info.bounding_box
        concepts = concepts_of(region.data)
        regions.append(
            Region(
                box.top_row,
                box.left_col,
                box.bottom_row,
                box.right_col,
                region.value or (concepts[0].value if concepts else 0.0),
                concepts,
                info.mask.image.base64 or None,
                region.data.text.raw,
                region.track_id,
                region.id,
                (info.point.col, info.point.row) if info.HasField("point") else None,
            )
        )
    return tuple(regions)


def status_of(status: status_pb2.Status) -> Status:
    """Read a status of the protocol."""
    return Status(int(status.code), status.description, status.details, status.req_id)


def protocol_status(status: Status | status_pb2.Status | None) -> status_pb2.Status:
    """Return a status as the protocol has it."""
    if isinstance(status, status_pb2.Status):
        return status
    message = status_pb2.Status()
    if status is not None:
        message.code = status.code  # type: ignore[assignment]
        message.description, message.details, message.req_id = status.description, status.details, status.request_id
    return message
