"""Tracking: the same object keeps its id from frame to frame. Simple on purpose: boxes that overlap are one object.

Needs scipy (extra `track`), imported when something is tracked.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headrace.errors import ConfigError
from headrace.results.views import Region
from headrace.support.extras import install


@dataclass(slots=True)
class _Track:
    id: str
    region: Region
    missing: int = 0  # frames since it was seen


class Tracker:
    """Gives regions of one video, frame after frame, a `track_id` each ("1", "2", ...).

    Boxes of one name in two frames are paired so that the sum of their overlaps is greatest (an assignment problem);
    a pair overlaps by at least `overlap` of its union. What is not paired is a new object.

    Args:
        overlap: least intersection over union, 0..1; the faster objects move between frames, the less.
        patience: frames for which an object may be unseen and still keep its id.
    """

    def __init__(self, overlap: float = 0.3, patience: int = 5) -> None:
        if not 0 < overlap <= 1:
            raise ConfigError(f"overlap must be above 0 and at most 1, not {overlap}")
        if patience < 0:
            raise ConfigError(f"patience must be 0 frames or more, not {patience}")
        self._overlap = overlap
        self._patience = patience
        self._tracks: list[_Track] = []
        self._number = 0

    def __repr__(self) -> str:
        return f"<Tracker: {len(self._tracks)} objects, {self._number} so far>"

    def another(self) -> Tracker:
        """Make a fresh one with the same settings, for another video."""
        return Tracker(self._overlap, self._patience)

    @staticmethod
    def prepare() -> None:
        """Import scipy, which takes a while: in a thread, if an event loop must not wait.

        Raises:
            ConfigError: it isn't installed.
        """
        try:
            importlib.import_module("scipy.optimize")
        except ImportError:
            raise ConfigError(f"tracking needs scipy: {install('track')}") from None

    def update(self, regions: Sequence[Region]) -> tuple[Region, ...]:
        """Take in the regions of the next frame; gives them in their order, each with its id.

        Boxes with edges that are not finite numbers are given back as they are, without one.

        Raises:
            ConfigError: scipy isn't installed.
        """
        boxes = {number: region for number, region in enumerate(regions) if all(map(math.isfinite, region.box))}
        paired = dict(zip(boxes, self._paired(list(boxes.values())), strict=True))
        tracked = []
        for number, region in enumerate(regions):
            if number not in boxes:
                tracked.append(replace(region, track_id=""))
                continue
            track = paired[number]
            if track is None:
                self._number += 1
                track = _Track(str(self._number), region)
                self._tracks.append(track)
            track.region, track.missing = region, -1
            tracked.append(replace(region, track_id=track.id))
        for track in self._tracks:
            track.missing += 1
        self._tracks = [track for track in self._tracks if track.missing <= self._patience]
        return tuple(tracked)

    def _paired(self, regions: Sequence[Region]) -> list[_Track | None]:
        """Return each region the track that it continues, None if it is new."""
        paired: list[_Track | None] = [None] * len(regions)
        if not regions or not self._tracks:
            return paired
        self.prepare()
        from scipy.optimize import linear_sum_assignment

        shared = [[_overlap(track.region, region) for region in regions] for track in self._tracks]
        pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
        for a, b in pairs:
            if shared[a][b] >= self._overlap:
                paired[b] = self._tracks[a]
        return paired


def _overlap(one: Region, other: Region) -> float:
    """Intersection over union; 0 for objects of different names."""
    if one.name != other.name:
        return 0.0
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _area(region: Region) -> float:
    return (region.right - region.left) * (region.bottom - region.top)
