"""`-o FILE.parquet` and `-o FILE.arrow`: what the commands write as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import ipc, parquet

from tests.support import clips
from tests.support.cli import Run


def rows(path: Path) -> list[dict[str, Any]]:
    table = parquet.read_table(path) if path.suffix == ".parquet" else ipc.open_file(path).read_all()
    return list(table.to_pylist())


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_each_command_writes_its_table_and_nothing_on_stdout(form: str, echo: Run, tmp_path: Path) -> None:
    for command in ("predict", "stream", "generate"):
        inputs = ["first, text"] if command == "generate" else ["first, text", "second"]
        done = echo(command, *inputs, "-o", f"{command}.{form}")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert f"wrote {command}.{form} (2 rows)" in done.stderr
        written = rows(tmp_path / f"{command}.{form}")
        assert [row["text"] for row in written] == (["first,", " text"] if command == "generate" else inputs)
        assert written[0]["source"] == "text 1"


def test_failed_inputs_are_rows_and_older_files_are_safe(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    failed = echo("stream", "good", "empty.txt", "-o", "out.parquet")
    assert failed.returncode == 1
    assert [row["error"] and row["error"]["type"] for row in rows(tmp_path / "out.parquet")] == [None, "InputError"]
    again = echo("stream", "good", "-o", "out.parquet")
    assert (again.returncode, "out.parquet already exists; --force" in again.stderr) == (2, True)
    assert echo("predict", "good", "-o", "out.parquet", "--force").returncode == 0
    assert len(rows(tmp_path / "out.parquet")) == 1


def test_other_files_are_refused_with_what_there_is(run_here: Run) -> None:
    done = run_here("predict", "--local", "hello", "-o", "out.xlsx")
    assert done.returncode == 2
    assert "'out.xlsx' is not one of 'text', 'json', 'jsonl', 'csv'" in done.stderr


def test_frames_of_a_video_are_rows(run: Run, tmp_path: Path) -> None:
    clips.steady(tmp_path / "clip.mp4", 1)
    done = run(
        "stream", "--local", "--model_id", "nanodet-g", "--video", "clip.mp4", "--fps", "5", "-o", "frames.parquet"
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [round(row["time"], 3) for row in rows(tmp_path / "frames.parquet")] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert "wrote frames.parquet" in done.stderr
