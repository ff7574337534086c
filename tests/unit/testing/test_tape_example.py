"""An example of the project, tested as users test their code: against a committed tape, without a server.

`pytest --headrace-tape=record tests/unit/testing/test_tape_example.py` records it anew, from the embedded server.
"""

from __future__ import annotations

import functools
import runpy
from pathlib import Path

import pytest

import headrace
from headrace.testing import Tape

ROOT = Path(__file__).parents[3]
PHOTO = Path(headrace.__file__).parent / "data" / "samples" / "photos" / "cat.jpg"
MODEL = "headrace/local/models/efficientnet-lite0"


@pytest.mark.headrace_tape(strict=True)
@pytest.mark.headrace_server(["efficientnet-lite0"])
async def test_predict_names_the_cat(
    tape: Tape, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = request.getfixturevalue("headrace_server").base_url if tape.recording else "http://127.0.0.1:1"
    monkeypatch.setattr(headrace, "Client", functools.partial(headrace.Client, base_url=address, transport=tape))
    await runpy.run_path(str(ROOT / "examples" / "predict.py"))["main"](str(PHOTO), MODEL)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "tiger cat" in lines[0]
