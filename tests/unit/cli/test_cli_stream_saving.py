"""What `stream` saves and draws is written beside the event loop."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.cli.options import Options
from headrace.cli.part import Part
from headrace.cli.stream import Run
from headrace.cli.supply import Supply
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


async def test_pictures_are_written_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SimpleNamespace(output="jsonl", save=tmp_path / "out", force=False, draw=None, table=None)
    supply = SimpleNamespace(total=0)
    run = Run(cast("Options", options), None, cast("Supply", supply))
    threads: list[threading.Thread] = []
    save = run._saver.save

    def noted(*arguments: Any, **more: Any) -> list[Path]:
        threads.append(threading.current_thread())
        return save(*arguments, **more)

    monkeypatch.setattr(run._saver, "save", noted)
    run._names[0] = Part("file", "cat.jpg", "image", "cat.jpg")
    await run._take(Prediction(b"", [pb.Output(data=pb.Data(image=pb.Image(base64=b"GIF89a")))], position=0))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000-cat.gif"]
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
