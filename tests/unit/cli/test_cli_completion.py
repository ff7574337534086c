"""What a shell completes."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete

from headrace.cli.app import APP
from headrace.cli.run import main
from headrace.server.options import parser


def completed(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(APP, {}, "headrace", "_HEADRACE_COMPLETE").get_completions(before, incomplete)
    return [f"<{one.type}>" if one.type != "plain" else one.value for one in found]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_HEADRACE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], ["predict"]),
        (["predict", "--local", "detec"], ["detector"]),
        (["predict", "--local", "detector", "c"], ["<file>"]),
        (["predict", "--local", ""], ["<file>"]),
        (["predict", "--local", "cat"], ["<file>"]),
        (["predict", "detec"], ["<file>"]),  # no name says enough there
        (["predict", "--model_id", "detec"], ["detector"]),
        (["models", "show", "detec"], ["detector"]),
        (["serve", "--models", "detec"], ["detector"]),
        (["serve", "--allow"], ["--allow-private-urls"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_names_options_and_files_are_completed(words: list[str], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_serve_has_the_options_of_the_server() -> None:
    serve = APP.get_command(click.Context(APP), "serve")
    assert serve is not None
    own = {option for param in serve.params if isinstance(param, click.Option) for option in param.opts}
    assert own == {action.option_strings[0] for action in parser("x").actions}
