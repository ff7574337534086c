"""The command for a missing extra installs it from where headrace came from."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from headrace.server.packages import PACKAGES
from headrace.support.extras import install

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


class Distribution:
    def __init__(self, noted: Any) -> None:
        self._noted = noted

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._noted is None else json.dumps(self._noted)


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        (None, "pip install 'headrace[video]'"),
        (
            {"url": "file:///home/me/my%20work/headrace", "dir_info": {}},
            "pip install '/home/me/my work/headrace[video]'",
        ),
        (
            {"url": "https://example.com/headrace.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'headrace[video] @ git+https://example.com/headrace.git'",
        ),
        (
            {"url": "file:///tmp/headrace-1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'headrace[video] @ file:///tmp/headrace-1.0-py3-none-any.whl'",
        ),
    ],
    ids=["index", "folder", "repository", "wheel"],
)
def test_it_names_the_place(noted: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution(noted))
    assert install("video") == command


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install("video") == "pip install '.[video]'"


def test_every_extra_that_a_message_names_exists() -> None:
    named = {extra for _, extra in PACKAGES.values() if extra}
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"""\binstall\(["'](\w+)["']\)""", text))
        assert "pip install 'headrace[" not in text or path.name == "extras.py", path
    assert named >= {"local", "video", "images", "cli", "urls", "track", "llm", "ocr", "speech"}
    assert named <= set(EXTRAS)


def test_local_is_the_sum_of_its_parts() -> None:
    assert EXTRAS["local"] == ["headrace[server,llm,speech,ocr]"]
