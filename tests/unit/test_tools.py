"""What the tools of a release decide, without a network: what a bill must list, what an audit's report means."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import audit, dependency_sets, sbom

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = {
    "dependencies": ["grpcio>=1.62", "anyio>=4.4"],
    "optional-dependencies": {
        "cli": ["click>=8.1", "PyYAML>=6.0"],
        "loops": ["uvloop>=0.20; sys_platform != 'win32'"],
        "server": ["headrace[cli, loops]", "some_package==1.0", "onnxruntime>=1.17,<1.29"],
    },
}


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("core", {"grpcio", "anyio"}),
        ("cli", {"grpcio", "anyio", "click", "pyyaml"}),
        ("loops", {"grpcio", "anyio"}),
        ("server", {"grpcio", "anyio", "click", "pyyaml", "some-package", "onnxruntime"}),
    ],
)
def test_a_bill_must_list_what_a_set_names(name: str, packages: set[str]) -> None:
    assert sbom.direct(name, PROJECT) == packages
    complete = {"components": [{"name": package.replace("-", "_").upper()} for package in packages]}
    assert sbom.missing_from(complete, name, PROJECT) == []
    assert sbom.missing_from({"components": complete["components"][1:]}, name, PROJECT) != []


def test_the_sets_are_extras_of_this_project() -> None:
    assert set(dependency_sets.DEFAULT) <= set(dependency_sets.CHOICES)
    assert {"bench", "dev"}.isdisjoint(dependency_sets.CHOICES)
    for name in dependency_sets.CHOICES:
        assert "grpcio" in sbom.direct(name, dependency_sets.PROJECT)


GOOD = {"name": "anyio", "version": "4.4.0", "vulns": []}
BAD = {"name": "grpcio", "version": "1.62.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.63", "1.62.9"]}]}
UNFIXED = {"name": "click", "version": "8.1", "vulns": [{"id": "GHSA-1", "fix_versions": []}]}
UNKNOWN = {"name": "hpack", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "expected"),
    [
        ([GOOD], audit.CLEAN, ["no known vulnerability in 1 packages"]),
        ([GOOD, UNKNOWN], audit.CLEAN, ["no known vulnerability in 1 packages", "hpack: not audited: not found"]),
        ([GOOD, BAD], audit.FOUND, ["grpcio 1.62.0: PYSEC-1, fixed in 1.63, 1.62.9"]),
        ([UNFIXED], audit.FOUND, ["click 8.1: GHSA-1, fixed in no release yet"]),
        ([UNKNOWN, UNKNOWN], audit.NOT_AUDITED, ["not audited: the service knows none of 2 packages"]),
    ],
)
def test_a_report_of_an_audit_is_read(packages: list[Any], code: int, expected: list[str]) -> None:
    result, lines = audit.verdict(json.dumps({"dependencies": packages}), "")
    assert result == code
    assert len(lines) == len(expected)
    assert all(line.startswith(words) for line, words in zip(lines, expected, strict=True))


def test_an_audit_without_an_answer_says_why() -> None:
    code, lines = audit.verdict("", "Traceback\n  File x\nConnectionError: no route to host\n")
    assert code == audit.NOT_AUDITED
    assert lines == ["not audited: the vulnerability service did not answer (ConnectionError: no route to host)"]


def test_hooks_run_commands_that_exist() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "mypy"}
    assert all(repository["repo"] == "local" for repository in config["repos"]), "others would be fetched"
    for hook in hooks:
        assert hook["language"] == "system"
        command, *arguments = hook["entry"].split()
        path = shutil.which(command, path=str(Path(sys.executable).parent))
        assert path, f"{command} is not in the development environment"
        help_text = subprocess.run([path, *arguments, "--help"], capture_output=True, text=True, check=True).stdout
        assert all(flag in help_text for flag in arguments if flag.startswith("--"))


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets == set(phony.split())
    assert targets == set(re.findall(r"^([a-z]+):  ## \S", makefile, re.MULTILINE))
