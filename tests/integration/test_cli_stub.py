"""`headrace models stub` against a server."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.cli import Run

MODEL = "headrace/local/models/echo"


def test_a_stub_is_written_and_compared(run: Run, echo_server: str, tmp_path: Path) -> None:
    server = ("--base_url", echo_server)
    done = run("models", "stub", MODEL, *server)
    assert done.returncode == 0, done.stderr
    assert [node.name for node in ast.parse(done.stdout).body if isinstance(node, ast.ClassDef)][-1] == "Echo"
    path = tmp_path / "echo.pyi"
    path.write_text(f"# by hand\n{done.stdout}")
    same = run("models", "stub", MODEL, *server, "--check", str(path))
    assert (same.returncode, same.stdout) == (0, "")
    path.write_text(done.stdout.replace("text: str", "text: int"))
    other = run("models", "stub", MODEL, *server, "--check", str(path))
    assert other.returncode == 1
    assert "-        " not in other.stdout.splitlines()[0]
    assert any(line.startswith("-") and "text: int" in line for line in other.stdout.splitlines())
    assert "differs from the model's signatures" in other.stderr
    named = run("models", "stub", MODEL, *server, "--blocking", "--class-name", "Mine")
    assert "class Mine(Model):" in named.stdout
    assert "from headrace.blocking import" in named.stdout


def test_without_a_model_it_says_which_names_there_are(run: Run) -> None:
    done = run("models", "stub", "--local")
    assert done.returncode == 2
    assert "which model? Give a name of `headrace models --local`" in done.stderr


def test_what_is_wrong_is_usage(run: Run, echo_server: str, tmp_path: Path) -> None:
    server = ("--base_url", echo_server)
    broken = tmp_path / "broken.pyi"
    broken.write_text("class (")
    for arguments, words in (
        ((), "which model?"),
        ((MODEL, "--class-name", "class"), "cannot be the name of a class"),
        ((MODEL, "--check", str(broken)), "is no stub"),
        ((MODEL, "--check", str(tmp_path / "missing.pyi")), "does not exist"),
    ):
        done = run("models", "stub", *arguments, *server)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
