"""What `headrace version` says of an installation."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import pytest

import headrace
from headrace.cli import version
from headrace.cli.run import main


def test_json_has_versions_and_the_names_of_settings_without_their_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARIFAI_PAT", "canary-value")
    monkeypatch.setenv("HEADRACE_TRANSPORT", "canary-transport")
    assert main(["version", "--json"]) == 0
    out = capsys.readouterr().out
    report = json.loads(out)
    assert report["headrace"] == headrace.__version__
    assert platform.python_version() in report["python"]
    assert report["packages"]["grpcio"] == metadata.version("grpcio")
    assert {"click", "av", "starlette"} <= report["packages"].keys(), "of all extras"
    assert not {"pytest", "mypy", "matplotlib"} & report["packages"].keys(), "of those that headrace imports"
    assert {"CLARIFAI_PAT", "HEADRACE_TRANSPORT"} <= set(report["environment"])
    assert "canary" not in out


def test_text_has_one_line_for_each_fact(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def version_of(package: str) -> str:
        if package == "scipy":
            raise metadata.PackageNotFoundError
        return "9.9"

    monkeypatch.setattr(metadata, "version", version_of)
    assert main(["version"]) == 0
    lines = dict(text.split(":", 1) for text in capsys.readouterr().out.splitlines())
    assert list(lines) == ["headrace", "python", "platform", "packages", "missing", "environment"]
    assert "grpcio 9.9" in lines["packages"]
    assert lines["missing"].strip() == "scipy"


def test_a_folder_of_sources_has_no_packages_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(package: str) -> list[str]:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", requires)
    assert version.facts()["packages"] == {}
