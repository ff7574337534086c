"""The official command line on the embedded server: `clarifai model predict` and `clarifai model list`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import SAMPLES, SECONDS, Outside

pytestmark = pytest.mark.timeout(600)  # the first test may have to install it

TYPED, SHOUT = "headrace/local/models/typed", "headrace/local/models/shout"
CLASSIFIER = "headrace/local/models/efficientnet-lite0"
CAT = str(SAMPLES / "photos" / "cat.jpg")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def clarifai(clarifai_python: Path, server: str, outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a function that runs the command; its configuration is a context as `clarifai login` writes it."""
    home = tmp_path_factory.mktemp("home")
    config = home / ".config" / "clarifai" / "config"
    config.parent.mkdir(parents=True)
    context = {"CLARIFAI_API_BASE": server, "CLARIFAI_PAT": "not-a-credential", "CLARIFAI_USER_ID": "headrace"}
    config.write_text(json.dumps({"current_context": "local", "contexts": {"local": context}}))  # JSON is YAML
    env = outside.environment(home, server)

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(clarifai_python.parent / "clarifai"), "model", *arguments]
        return subprocess.run(
            command, env=env, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([TYPED, "one two"], "onetwo\n"),  # it prefers a method that streams
        ([TYPED, "one two", "-o", "json"], '{"result": "onetwo"}\n'),
        ([TYPED, "hi", "--method", "predict"], "hi hi!\n"),
        ([TYPED, "--method", "predict", "-i", "prompt=hi", "-i", "times=3"], "hi hi hi!\n"),
        ([TYPED, "--method", "predict", "--inputs", '{"prompt": "hi", "mark": "?"}'], "hi hi?\n"),
        (["--model_url", f"https://clarifai.com/{TYPED}", "--method", "predict", "-i", "prompt=hi"], "hi hi!\n"),
        ([TYPED, "hi", "--method", "predict", "--deployment_id", "d", "--deployment_user_id", "somebody"], "hi hi!\n"),
        ([SHOUT, "one two"], "ONETWO\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_predict(clarifai: Run, arguments: list[str], said: str) -> None:
    done = clarifai("predict", *arguments)
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_predict_from_stdin(clarifai: Run) -> None:
    done = clarifai("predict", TYPED, "--method", "predict", stdin="piped")
    assert (done.returncode, done.stdout) == (0, "piped piped!\n")


def test_predict_a_file_and_a_url(clarifai: Run, files: str) -> None:
    by_file = clarifai("predict", CLASSIFIER, "--file", CAT)
    by_url = clarifai("predict", CLASSIFIER, "--url", f"{files}/photos/cat.jpg")
    assert by_file.stdout.startswith("[Concept(id='tiger-cat', name='tiger cat'")
    assert by_url.stdout == by_file.stdout


def test_info(clarifai: Run) -> None:
    done = clarifai("predict", TYPED, "--info")
    assert "Model: typed (headrace/local)" in done.stdout
    assert "def generate(prompt: str, times: int = 1) -> Iterator[str]:" in done.stdout


def test_list(clarifai: Run) -> None:
    done = clarifai("list", "headrace")
    assert done.returncode == 0
    assert f"https://clarifai.com/{CLASSIFIER} " in done.stdout


def test_failures_are_reported(clarifai: Run) -> None:
    bad = clarifai("predict", SHOUT, "bad", "--method", "predict")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "this one is bad" in bad.stderr
    unknown = clarifai("predict", "headrace/local/models/none", "x")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no model" in unknown.stderr


def test_broken_in_the_command_itself(clarifai: Run) -> None:
    """A model named by its three ids is refused by a fault of its own; when that is mended, this test tells."""
    done = clarifai("predict", "--model_id", "typed", "--user_id", "headrace", "--app_id", "local", "-i", "prompt=hi")
    assert done.returncode == 1
    assert "clarifai_url() missing 1 required positional argument" in done.stderr


def test_it_asks_nobody_else(clarifai: Run, outside: Outside) -> None:
    assert clarifai("predict", TYPED, "x").returncode == 0
    assert outside.asked == []
