"""A frame together with its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace import media
from headrace.errors import ConfigError, HeadraceError
from headrace.inputs import Input
from headrace.media import encoding, pictures
from headrace.results import Concept, Prediction, Region
from headrace.support.later import later, later_module

if TYPE_CHECKING:
    import supervision
    from PIL.Image import Image

    from headrace.integrations.supervision import PictureOrSize
else:
    Image = later("PIL.Image", "Image")
    PictureOrSize = later("headrace.integrations.supervision", "PictureOrSize")
    supervision = later_module("supervision")


@dataclass(frozen=True, slots=True)
class FramePrediction:
    """A frame and its prediction.

    Attributes:
        frame: what was sent: a `FrameInput` (`.picture()`, `.jpeg`, `.size`), or the item of the user's iterator.
        prediction: the answer; its `error` is set if this frame failed.
        index: the frame's number in its source; gaps are frames that were dropped.
        time: its presentation time in seconds.
        source: name of the source, "" for plain iterators.
        latency: seconds from leaving the source until this object was taken.
        age: seconds from its capture until this object was taken.
        captured: when it was captured (decoded, or pulled from an iterator), on the clock of `time.monotonic()`.
        tracked: the regions with their objects' ids, if `track` was asked for, else None.
    """

    frame: Any
    prediction: Prediction
    index: int
    time: float
    source: str
    latency: float
    age: float
    captured: float = 0.0
    tracked: tuple[Region, ...] | None = None

    def picture(self) -> Image | None:
        """Decode the frame to a Pillow picture (RGB, upright), None if there is none. Blocking, a few milliseconds.

        Raises:
            BadPicture, InputError: it is not a picture that can be decoded or sent.
        """
        data = self.frame
        if isinstance(data, Input):
            forms = ("bytes", "picture")
            data = next((f.payload for f in data.fields if f.type == "image" and f.form in forms), None)
        if data is None or isinstance(data, str):
            return None
        if isinstance(data, bytes | bytearray | memoryview):
            data = media.decode(bytes(data))
        return pictures.upright(encoding.image_of(data))

    def _repr_html_(self) -> str:
        """Show it in a notebook: the frame with its boxes, and what was found."""
        from headrace.results.notebook import page, regions_of
        from headrace.support import htmltext

        head = f"<p>frame {self.index} of {htmltext.escaped(self.source or 'a source')}, {self.time:.2f} s</p>"
        if self.error is not None or not self.regions:
            return head + page(self.prediction)
        return head + "".join(regions_of(self.regions, self._repr_png_()))

    def _repr_png_(self) -> bytes | None:
        """Show the frame with its boxes where only pictures are shown."""
        from headrace.results.notebook import drawn

        try:
            return drawn(self.picture(), self.regions)
        except Exception:  # a failed frame, or no picture
            return None

    def to_supervision(
        self, image: PictureOrSize | None = None, *, classes: Sequence[str] | None = None, masks: bool = True
    ) -> supervision.Detections:
        """Return the regions as `supervision.Detections`, with `tracker_id` if they are tracked.

        Args:
            image: what the boxes' pixels are of; None: the frame itself, as `picture()` gives it.
            classes: as for `Prediction.to_supervision`.
            masks: as there.

        Raises:
            ConfigError: as there; or the frame is not a picture, so that its size must be given.
            HeadraceError: the frame's error.
        """
        from headrace.integrations.supervision import detections

        regions = self.regions
        if image is None:
            image = getattr(self.frame, "size", None) if isinstance(self.frame, Input) else None
            image = image or self.picture()
        if image is None:
            raise ConfigError("the frame is not a picture: give its (width, height)")
        return detections(regions, image, classes=classes, masks=masks)

    @property
    def error(self) -> HeadraceError | None:
        """Why the frame failed, or None."""
        return self.prediction.error

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the prediction; if they are tracked, with `track_id`."""
        return self.prediction.regions if self.tracked is None else self.tracked

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of the prediction."""
        return self.prediction.concepts

    @property
    def text(self) -> str:
        """The text of the prediction."""
        return self.prediction.text
