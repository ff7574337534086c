"""The embedded server in odd surroundings: folders full of files named like modules, temporary folders of any name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Modules of the standard library and of ours that are imported early, late, or by other processes.
NAMES = (
    "queue", "json", "random", "token", "headrace", "grpc", "numpy", "pip", "types", "asyncio",
    "logging", "tempfile", "secrets", "sitecustomize_headrace", "anyio", "google",
)  # fmt: skip

PROGRAM = """
import asyncio, headrace

async def main():
    async with headrace.Client.local(["echo"]) as client:
        print((await client.model(model_id="echo").predict("hello")).text)

asyncio.run(main())
"""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose files tell when they are run."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise SystemExit(9)"
        )
    return folder


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def command() -> str:
    found = shutil.which("headrace", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found is not None
    return found


def test_a_program_elsewhere_runs_nothing_of_the_current_folder(tmp_path: Path, trap: Path) -> None:
    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    result = run([sys.executable, str(program)], trap)
    assert result.stdout.strip() == "hello", result.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_the_command_line_runs_nothing_of_the_current_folder(tmp_path: Path, trap: Path) -> None:
    result = run([command(), "predict", "--local", "--model_id", "echo", "-o", "text", "hello"], trap)
    assert result.stdout.strip() == "hello", result.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_the_command_line_as_a_module_runs_nothing_of_the_current_folder(tmp_path: Path, trap: Path) -> None:
    for name in ("headrace", "types"):  # which Python looks for before any code of ours runs
        (trap / f"{name}.py").unlink()
    for name in ("click", "signal", "rich"):
        shutil.copy(trap / "json.py", trap / f"{name}.py")
    result = run([sys.executable, "-m", "headrace.cli", "predict", "--local", "--model_id", "echo", "hello"], trap)
    assert result.stdout.strip() == "hello", result.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_fetching_weights_runs_nothing_of_the_current_folder(tmp_path: Path, trap: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HEADRACE_CACHE": str(tmp_path / "cache")}
    result = run([command(), "models", "pull", "llm"], trap, PIP_NO_INDEX="1", **environment)
    assert result.returncode != 0
    assert "cannot be fetched" in result.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


MODEL = """
import beside

class Mine:
    def predict(self, text: str) -> str:
        return beside.WORD + text
"""


@pytest.mark.parametrize("target", ["models/mine.py:Mine", "mine:Mine"])
def test_a_users_module_finds_those_beside_it(tmp_path: Path, trap: Path, target: str) -> None:
    folder = trap if ":" in target and "/" not in target else trap / "models"
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MODEL)
    (folder / "beside.py").write_text("WORD = 'beside '")
    program = tmp_path / "elsewhere.py"
    program.write_text(
        PROGRAM.replace('["echo"]', f'[], serve=["{target}"]').replace('model_id="echo"', 'model_id="mine"')
    )
    result = run([sys.executable, str(program)], trap)
    assert result.stdout.strip() == "beside hello", result.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


@pytest.mark.parametrize(
    "name", ["my tmp", "my%20tmp", "a#b", "a?b=c", "ä", "x" * 80, "/".join(["y" * 60] * 4), "new\nline", "%", "a:b"]
)
def test_a_temporary_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    result = run([sys.executable, "-c", PROGRAM], tmp_path, TMPDIR=str(folder))
    assert result.stdout.strip() == "hello", result.stderr
    assert not list(folder.iterdir())


def test_a_temporary_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    result = run([sys.executable, "-c", PROGRAM], tmp_path, TMPDIR=os.fsdecode(folder))
    assert result.stdout.strip() == "hello", result.stderr


def test_a_temporary_folder_below_two_slashes(tmp_path: Path) -> None:
    result = run([sys.executable, "-c", PROGRAM], tmp_path, TMPDIR=f"/{tmp_path}")
    assert result.stdout.strip() == "hello", result.stderr
