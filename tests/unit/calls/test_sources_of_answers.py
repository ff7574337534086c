"""Predictions say which file they answer, in every call shape that takes a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import sources
from headrace.model import Model
from headrace.results import Prediction
from tests.support.rig import WIRES, Wire, rigged

Source = Any
SHAPES: dict[str, Callable[[Model, Source], AsyncIterator[Prediction]]] = {
    "stream": lambda model, source: model.stream(source),
    "stream, any order": lambda model, source: model.stream(source, ordered=False),
    "stream, packed": lambda model, source: model.stream(source, batch=2),
    "map": lambda model, source: model.map(source, on_error="yield"),
    "map, packed": lambda model, source: model.map(source, batch=2, on_error="yield"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_predictions_of_files_say_which(shape: str, wire: Wire, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name)
    (tmp_path / "d.txt").write_text("")  # fails
    async with rigged(wire, tmp_path) as rig:
        for source in (
            sources.from_glob(tmp_path / "*.txt", "text"),
            sources.from_paths(sorted(tmp_path.glob("*.txt")), "text"),
        ):
            found = [one async for one in SHAPES[shape](rig.model, source)]
            assert sorted(one.source for one in found) == [str(tmp_path / f"{name}.txt") for name in "abcd"]
            assert all(Path(one.source).read_text() == one.text for one in found if one.error is None)
            assert [Path(one.source).name for one in found if one.error is not None] == ["d.txt"]
