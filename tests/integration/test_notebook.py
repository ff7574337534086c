"""The notebook among the examples, run by a kernel of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def outputs(notebook: Any) -> list[list[dict[str, Any]]]:
    """Give what each cell of code shows, by kind of content."""
    return [
        [output.get("data") or {"text/plain": output.get("text", "")} for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in read(NOTEBOOK).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.timeout(400)
def test_the_notebook_runs_and_shows_tables_pictures_and_progress(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copytree(ROOT / "src/headrace/data/samples", tmp_path / "samples")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), "out.ipynb"],
        cwd=tmp_path,
        env={**environment, "JUPYTER_PLATFORM_DIRS": "1", "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=350,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    models, cat, stream, stats, table, closed = outputs(read(tmp_path / "out.ipynb"))
    assert "nanodet-g" in models[-1]["text/html"]
    assert "tiger cat" in cat[-1]["text/html"]
    assert "3 of 3" in stream[0]["text/html"]
    assert '<progress max="3" value="3">' in stream[0]["text/html"]
    assert "data:image/png;base64," in stream[-1]["text/html"]  # the photo with its boxes
    assert stream[-1]["image/png"]
    assert "received" in stats[-1]["text/html"]
    assert "positive" in table[-1]["text/plain"]
    assert "closed" in closed[-1]["text/html"]
