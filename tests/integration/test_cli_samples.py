"""`headrace samples`: what it copies, what it leaves alone, and that the files are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.media import kind
from tests.support.cli import Run

KINDS = {"photos": "image", "pages": "image", "sounds": "audio", "videos": "video"}


def test_the_samples_are_copied_once(run: Run, tmp_path: Path) -> None:
    done = run("samples")
    assert done.returncode == 0
    paths = [tmp_path / name for name in done.stdout.splitlines()]
    assert sorted(path for path in (tmp_path / "samples").rglob("*") if path.is_file()) == sorted(paths)
    assert tmp_path / "samples/photos/cat.jpg" in paths
    assert done.stderr.endswith("try: headrace predict --local samples/photos/cat.jpg\n")
    before = {path: path.stat().st_mtime_ns for path in paths}
    again = run("samples")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")
    assert {path: path.stat().st_mtime_ns for path in paths} == before


@pytest.mark.parametrize("force", [False, True])
def test_a_file_of_the_same_name_is_not_overwritten_without_force(run: Run, tmp_path: Path, force: bool) -> None:
    mine = tmp_path / "here" / "photos" / "cat.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run("samples", "here", *["--force"] * force)
    assert done.returncode == (0 if force else 1)
    assert (mine.read_bytes() == b"mine") is not force
    assert ("photos/cat.jpg: a different file" in done.stderr) is not force
    assert (tmp_path / "here" / "photos" / "coffee.jpg").exists()


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = run("samples", "taken/inside")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "taken" in done.stderr


def test_each_folder_holds_its_kind(run: Run, tmp_path: Path) -> None:
    run("samples", ".")
    for folder, expected in KINDS.items():
        files = list((tmp_path / folder).iterdir())
        assert files
        assert {kind(path.read_bytes()) for path in files} == {expected}
    assert all(path.read_text(encoding="utf-8").strip() for path in (tmp_path / "texts").iterdir())
