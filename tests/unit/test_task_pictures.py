"""The pictures of docs/tasks.md: small, one for each task of the tool that draws them, and all of them shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "img"
PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
NAMES = re.findall(r'^@task\("([\w-]+)"', (ROOT / "tools" / "task_pictures.py").read_text("utf-8"), re.MULTILINE)
BYTES, ALL_BYTES = 60_000, 600_000


def test_each_picture_is_shown_and_described() -> None:
    shown = dict(re.findall(r"!\[([^\]]+)\]\(img/task-([\w-]+)\.webp\)", PAGE))
    assert sorted(shown.values()) == sorted(NAMES)
    assert all(len(words) > 20 for words in shown)
    assert len(NAMES) >= 15


def test_there_are_no_others() -> None:
    assert sorted(path.stem.removeprefix("task-") for path in FOLDER.glob("task-*")) == sorted(NAMES)


def test_they_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("task-*")}
    assert {name: size for name, size in sizes.items() if size > BYTES} == {}
    assert sum(sizes.values()) <= ALL_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_picture_of_the_same_width(name: str) -> None:
    images = pytest.importorskip("PIL.Image")
    with images.open(FOLDER / f"task-{name}.webp") as image:
        image.load()
        assert image.width == 960
