"""The same object keeps its id from frame to frame."""

from __future__ import annotations

import itertools
import math
import random
import sys

import pytest

from headrace import Concept, ConfigError, Region
from headrace.track import Tracker


def box(left: float, top: float = 0.4, side: float = 0.2, name: str = "cup") -> Region:
    return Region(top, left, top + side, left + side, 0.9, (Concept(name, 0.9),))


def ids(tracker: Tracker, *regions: Region) -> list[str]:
    return [region.track_id for region in tracker.update(regions)]


def test_a_moving_object_keeps_its_id_and_a_new_one_gets_another() -> None:
    tracker = Tracker()
    assert [ids(tracker, box(n / 50)) for n in range(20)] == [["1"]] * 20
    assert ids(tracker, box(0.4), box(0.0)) == ["1", "2"]
    assert ids(tracker, box(0.02), box(0.42)) == ["2", "1"]  # whatever their order


def test_objects_that_cross_are_paired_for_the_greatest_overlap_together() -> None:
    tracker = Tracker(overlap=0.1)
    assert ids(tracker, box(0.0, side=0.4), box(0.2, side=0.4)) == ["1", "2"]
    # Taken greedily, the first box of this frame would go to object 2, and nothing be left for object 1.
    assert ids(tracker, box(0.15, side=0.4), box(0.35, side=0.4)) == ["1", "2"]


def test_other_names_are_other_objects() -> None:
    tracker = Tracker()
    assert ids(tracker, box(0.1)) == ["1"]
    assert ids(tracker, box(0.1, name="bowl")) == ["2"]


def test_an_object_may_be_unseen_for_a_while() -> None:
    tracker = Tracker(patience=3)
    assert ids(tracker, box(0.1)) == ["1"]
    for _ in range(3):
        assert ids(tracker) == []
    assert ids(tracker, box(0.1)) == ["1"]
    for _ in range(4):
        tracker.update([])
    assert ids(tracker, box(0.1)) == ["2"]
    assert "1 objects, 2 so far" in repr(tracker)


def test_many_objects_on_their_ways() -> None:
    rng = random.Random(5)
    tracker = Tracker()
    rows = [number / 10 for number in range(10)]
    known: dict[float, str] = {}
    for step in range(30):
        regions = [box(0.01 * step, top, 0.08) for top in rows]
        rng.shuffle(regions)
        for region in tracker.update(regions):
            assert known.setdefault(region.top, region.track_id) == region.track_id
    assert sorted(known.values(), key=int) == [f"{n}" for n in range(1, 11)]


def test_nothing_grows() -> None:
    tracker = Tracker(patience=2)
    for number in itertools.islice(itertools.count(), 500):
        tracker.update([box((number * 0.37) % 0.8, (number * 0.61) % 0.8, 0.1)])
    assert int(repr(tracker).split()[1]) <= 3


def test_wrong_settings() -> None:
    for settings in ({"overlap": 0}, {"overlap": 1.1}, {"patience": -1}):
        with pytest.raises(ConfigError):
            Tracker(**settings)


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    tracker = Tracker()
    tracker.update([box(0.1)])
    with pytest.raises(ConfigError, match=r"\S*\[track\]"):
        tracker.update([box(0.1)])


@pytest.mark.parametrize("edge", ["top", "left", "bottom", "right"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_box_that_is_no_box_gets_no_track_and_disturbs_no_other(edge: str, value: float) -> None:
    good = Region(0.1, 0.1, 0.5, 0.5, 0.9, (Concept("cat", 0.9),))
    bad = Region(**{**{name: getattr(good, name) for name in good.__slots__}, edge: value})
    tracker = Tracker()
    for _ in range(3):
        assert [region.track_id for region in tracker.update([bad, good, bad])] == ["", "1", ""]
    assert [region.track_id for region in tracker.update([bad])] == [""]
