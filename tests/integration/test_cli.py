"""The command line as its users meet it: processes, a server with the echo model, exit codes, streams of text."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.support.extras import install
from tests.support.cli import CANARY, URL, Run


@contextlib.contextmanager
def running(
    environment: dict[str, str], *argv: str, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `headrace ARGV` and talk to it while it runs; it is killed at the end if it still does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
    )
    try:
        with process:
            yield process
            process.wait(30)
    finally:
        process.kill()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- bad input: one line, the right exit code, nothing on stdout

MODEL = ("--model_url", URL)
ROUTES = {
    "both kinds of routing": ("--deployment_id", "d", "--compute_cluster_id", "c", "--nodepool_id", "n"),
    "half of the routing": ("--compute_cluster_id", "c"),
    "the other half": ("--nodepool_id", "n"),
}
BAD = {
    "missing file": ((*MODEL, "--file_path", "nope.jpg"), 2, "missing file: nope.jpg"),
    "missing file as a word": ((*MODEL, "cta.jpg"), 2, "missing file: cta.jpg"),
    "a folder": ((*MODEL, "--file_path", "."), 2, "headrace stream"),
    "empty bytes": ((*MODEL, "--bytes", "", "--input_type", "text"), 2, "empty"),
    "unknown input type": ((*MODEL, "--bytes", "x", "--input_type", "smell"), 2, "image, text, video, audio"),
    "malformed model URL": (("--model_url", "https://clarifai.com/nonsense", "x"), 2, "malformed model URL"),
    "malformed model word": (("https://clarifai.com/u/models/m", "x"), 2, "malformed model URL"),
    "half of the model's ids": (("--model_id", "m", "--user_id", "u", "x"), 2, "app_id missing"),
    "URL and id": ((*MODEL, "--model_id", "m", "x"), 2, "not both"),
    "no model": (("just a text",), 2, "which model"),
    "no input": (MODEL, 2, "no input"),
    "malformed JSON": ((*MODEL, "x", "--inference_params", '{"a" 1}'), 2, "column 6"),
    "a URL of another kind": ((*MODEL, "--url", "ftp://example.com/x.jpg"), 2, "http"),
    "a file and bytes": ((*MODEL, "--file_path", __file__, "--bytes", "x"), 2, "--file_path and --bytes exclude"),
    "a URL and bytes": ((*MODEL, "--url", "https://example.com/x.jpg", "--bytes", "x"), 2, "exclude each other"),
    "a URL and a file": ((*MODEL, "--url", "https://example.com/x.jpg", "--file", __file__), 2, "exclude each other"),
    "a file and a word": ((*MODEL, "--file_path", __file__, "What is it?"), 2, "--file_path gives the input"),
    "bytes and a word": ((*MODEL, "--bytes", "x", "y"), 2, "--bytes gives the input"),
    "a URL and a word": ((*MODEL, "--url", "https://example.com/x.jpg", "y"), 2, "--url gives the input"),
    "two models": ((*MODEL, "u/a/models/m", "x"), 2, "named twice"),
    "a name with a blank": ((*MODEL, "my photos/cta.jpg"), 2, "missing file: my photos/cta.jpg"),
    "a folder with a blank": ((*MODEL, "my photos/"), 2, "missing folder: my photos/"),
    "a pattern with a blank": ((*MODEL, "my photos/*.jpg"), 2, "no file matches my photos/"),
    "a mistyped home": ((*MODEL, "~/no-such"), 2, "missing file or folder: ~/no-such"),
    "a separator": ((*MODEL, "no/such"), 2, "missing file or folder: no/such"),
    "nearly a model": (("--local", "detectr", "x"), 2, "did you mean detector"),
    "malformed base URL": ((*MODEL, "x", "--base_url", "http://a b"), 2, "base_url"),
    "local and remote": (("--local", "--base_url", "http://127.0.0.1:1", "x"), 2, "--base-url"),
    **{name: ((*MODEL, "x", *route), 2, "compute_cluster_id|nodepool_id") for name, route in ROUTES.items()},
}


@pytest.mark.parametrize("command", ["predict", "model predict", "generate"])
def test_wrong_usage_is_reported_in_one_line(run_here: Run, command: str, subtests: pytest.Subtests) -> None:
    for case, (argv, code, message) in BAD.items():
        with subtests.test(case=case):
            done = run_here(*command.split(), *argv, CLARIFAI_PAT=CANARY)
            assert (done.returncode, done.stdout) == (code, "")
            assert done.stderr.startswith("headrace: ")
            assert done.stderr.count("\n") == 1
            assert re.search(message, done.stderr)


def test_a_process_says_the_same(run: Run) -> None:
    argv, code, message = BAD["missing file"]
    done = run("predict", *argv, CLARIFAI_PAT=CANARY)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(f"headrace: .*{message}.*\n", done.stderr)


def test_no_credentials_for_a_remote_server(run: Run) -> None:
    done = run("predict", "--base_url", "https://remote.example", *MODEL, "x")
    assert done.returncode in (2, 3)
    assert done.stdout == ""
    assert re.search("CLARIFAI_PAT", done.stderr)
    assert done.stderr.count("\n") == 1


def test_a_credential_never_goes_over_plaintext_to_another_machine(run: Run) -> None:
    done = run("predict", "--base_url", "http://remote.example", "--pat", CANARY, *MODEL, "x")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"headrace: http://remote\.example.* is not encrypted: .*https://.*unix:PATH.*\n", done.stderr)
    assert "allow_insecure" not in done.stderr


@pytest.mark.parametrize("pat", [CANARY + "\n injected: x", CANARY + "\x00ü"])
def test_a_credential_that_cannot_be_a_header_is_not_shown(run: Run, pat: str) -> None:
    done = run("predict", "--base_url", "http://127.0.0.1:1", *MODEL, "x", CLARIFAI_PAT=pat.replace("\0", "\x01"))
    assert done.returncode == 2


def test_an_unreachable_server(run: Run) -> None:
    address = f"http://127.0.0.1:{unused_port()}"
    done = run("predict", "--base_url", address, "--pat", CANARY, "--timeout", "2", *MODEL, "x")
    assert (done.returncode, done.stdout) == (4, "")
    assert address.removeprefix("http://") in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "generate"])
def test_an_unknown_model(run: Run, echo_server: str, command: str) -> None:
    done = run(command, "--base_url", echo_server, "--pat", CANARY, "u/a/models/nonsense", "x")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nonsense" in done.stderr
    assert done.stderr.count("\n") == 1


# --- predict

DOCUMENTED = {
    "text": ["--bytes", "What is the future of AI?", "--input_type", "text"],
    "parameters": [
        *("--bytes", "What is the future of AI?", "--input_type", "text"),
        *("--inference_params", '{"temperature":0.7,"max_tokens":200,"top_k":50,"top_p":0.95}'),
    ],
    "deployment": ["--bytes", "x", "--input_type", "text", "--deployment_id", "test-deployment"],
    "nodepool": ["--bytes", "x", "--input_type", "text", "--compute_cluster_id", "c", "--nodepool_id", "n"],
    "output config": ["--bytes", "x", "--input_type", "text", "--output_config", '{"sample_ms":2000}'],
    "string parameter": ["--bytes", "x", "--input_type", "text", "--inference_params", '{"width":"1024"}'],
}


@pytest.mark.parametrize("case", DOCUMENTED)
@pytest.mark.parametrize("command", ["model predict", "predict"])
def test_documented_commands_are_served(echo: Run, case: str, command: str) -> None:
    argv = DOCUMENTED[case]
    done = echo(command, *argv)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{argv[1]}\n"


def test_the_model_by_ids_and_parameters_reach_the_model(run: Run, echo_server: str) -> None:
    done = run(
        *("model", "predict", "--model_id", "echo", "--user_id", "headrace", "--app_id", "local"),
        *("--base_url", echo_server, "--bytes", "x", "--input_type", "text", "-o", "json"),
        *("--inference_params", '{"show": true, "temperature": 0.5}', "-i", "max_tokens=7"),
        *("--output_config", '{"max_concepts": 3}'),
    )
    assert done.returncode == 0
    shown = json.loads(json.loads(done.stdout)["outputs"][0]["data"]["text"]["raw"])
    assert shown["params"] == {"show": True, "temperature": 0.5, "max_tokens": 7}
    assert shown["config"]["max_concepts"] == 3


def test_the_present_form(run: Run, echo_server: str) -> None:
    done = run("predict", "headrace/local/models/echo", "Hello!", "--base-url", echo_server)
    assert (done.returncode, done.stdout) == (0, "Hello!\n")
    fields = run(
        "predict", "headrace/local/models/echo", "--base-url", echo_server, "-i", "prompt=Hi", "-i", "repeat=2"
    )
    assert fields.stdout == "Hi Hi\n"
    both = run(
        "predict", "headrace/local/models/echo", "--base-url", echo_server, "--inputs", '{"prompt": "Hi", "repeat": 3}'
    )
    assert both.stdout == "Hi Hi Hi\n"


def test_info_tells_what_the_model_is(echo: Run) -> None:
    done = echo("predict", "--info", "-o", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["id"] == "echo"


@pytest.mark.parametrize("words", [(), ("-",)])
def test_stdin_is_the_input(echo: Run, words: tuple[str, ...]) -> None:
    done = echo("predict", *words, input="piped text\n")
    assert (done.returncode, done.stdout) == (0, "piped text\n")


def test_a_file_is_sent_with_its_type(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 92)
    done = echo("predict", "cat.png")
    assert (done.returncode, done.stdout) == (0, "image of 100 bytes\n")


def test_a_picture_and_a_text_are_one_input(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 92)
    done = echo("predict", "cat.png", "What is it?", "-o", "json")
    assert json.loads(done.stdout)["outputs"][0]["data"]["text"]["raw"] == "image of 100 bytes What is it?"


def test_several_inputs_of_which_one_fails(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    done = echo("predict", "good", "empty.txt", "-o", "json")
    assert done.returncode == 1
    good, bad = json.loads(done.stdout)
    assert good["outputs"][0]["data"]["text"]["raw"] == "good"
    assert bad["error"]["type"] == "InputError"
    assert "empty.txt" in done.stderr


def test_an_input_that_the_model_refuses(echo: Run) -> None:
    done = echo("predict", "x", "--inference_params", '{"fail": 30300}')
    assert (done.returncode, done.stdout) == (1, "")
    assert "asked to fail" in done.stderr


def test_text_from_a_model_cannot_steer_the_terminal(echo: Run) -> None:
    for command in ("predict", "generate"):
        done = echo(command, "--bytes", "[red]a\x1b[2Jb[/red]")
        assert done.stdout == "[red]a\\x1b[2Jb[/red]\n"


# --- generate


def test_tokens_are_printed_as_they_come(environment: dict[str, str], echo_server: str) -> None:
    slow = json.dumps({"delay": 1.0})
    argv = ("generate", "--base_url", echo_server, *MODEL, "first second third fourth", "--inference_params", slow)
    with running(environment, *argv) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"first"
        assert process.poll() is None  # three more seconds to go
        assert process.stdout.read() == b" second third fourth\n"
    assert process.returncode == 0


def test_an_interrupt_ends_cleanly(environment: dict[str, str], echo_server: str) -> None:
    slow = json.dumps({"delay": 0.2, "repeat": 1000})
    with running(
        environment, "generate", "--base_url", echo_server, *MODEL, "word", "--inference_params", slow
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 100) == b"word"
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert rest.endswith(b"\n")
    assert said == b"headrace: interrupted\n"


@pytest.mark.parametrize("command", ["generate", "stream"])
def test_a_broken_pipe_is_quiet(environment: dict[str, str], echo_server: str, command: str) -> None:
    slow = json.dumps({"delay": 0.05, "repeat": 1000})
    words = ["word"] if command == "generate" else ["word"] * 1000
    with running(
        environment, command, "--base_url", echo_server, *MODEL, *words, "--inference_params", slow
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# --- stream


def test_a_folder_through_a_stream(echo: Run, tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / "in" / f"{n:02}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{n:02}.txt").write_text(f"text {n}")
    done = echo("stream", "in", "--window", "4")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"in/{n:02}.txt\ttext {n}" for n in range(20)]
    assert re.search(r"^headrace: 20 answers in .*first after", done.stderr)


def test_answers_come_while_lines_are_still_typed(environment: dict[str, str], echo_server: str) -> None:
    with running(environment, "stream", "--base_url", echo_server, *MODEL, "-o", "jsonl") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for n, text in enumerate(("one", "two", "three")):
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["position"] == n
            assert answer["outputs"][0]["data"]["text"]["raw"] == text
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_one_bad_input_does_not_end_the_stream(echo: Run, tmp_path: Path) -> None:
    for name, text in (("a.txt", "first"), ("b.txt", ""), ("c.txt", "third")):
        (tmp_path / name).write_text(text)
    done = echo("stream", "*.txt", "-o", "jsonl")
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["source"] for item in found] == ["a.txt", "b.txt", "c.txt"]
    assert [item.get("error", {}).get("type") for item in found] == [None, "InputError", None]
    assert "b.txt" in done.stderr
    assert "1 failed" in done.stderr
    stopped = echo("stream", "*.txt", "--on-error", "raise")
    assert stopped.returncode in (1, 2)
    assert "third" not in stopped.stdout


def test_a_list_of_inputs(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from a file")
    (tmp_path / "list").write_text("a.txt\n\nsome words\nmissing.txt\n")
    done = echo("stream", "--from", "list")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["a.txt\tfrom a file", "text 3\tsome words"]
    assert "missing.txt" in done.stderr


def test_stream_needs_inputs(echo: Run, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for argv, message in ((("nothing",), "no known files"), (("x.jpg",), "missing file"), ((), "no input")):
        done = echo("stream", *argv)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_an_interrupted_stream_tells_how_far_it_came(environment: dict[str, str], echo_server: str) -> None:
    with running(environment, "stream", "--base_url", echo_server, *MODEL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"text 1\tone\n"
        process.send_signal(signal.SIGINT)  # stdin stays open: nobody has to press Enter
        process.wait(10)
        said = process.stderr.read().decode()
    assert process.returncode == 130
    assert said.startswith("headrace: 1 answer in ")
    assert said.endswith("headrace: interrupted\n")


# --- the rest


def test_models_of_a_server(run: Run, echo_server: str) -> None:
    done = run("models", "--base_url", echo_server, "-o", "json")
    (model,) = json.loads(done.stdout)
    assert {"user_id", "app_id", "id", "model_type_id", "task", "url"} <= set(model)
    assert model["url"] == URL
    assert run("models", "--base_url", echo_server).stdout.startswith("echo\t")


def test_models_of_the_embedded_server_by_default(run: Run) -> None:
    done = run("models", "-o", "json")
    assert {"echo", "yolov3-tiny"} <= {model["id"] for model in json.loads(done.stdout)}
    assert "embedded server" in done.stderr


def test_a_card(run: Run) -> None:
    done = run("models", "show", "detector")
    assert done.returncode == 0
    assert "Apache-2.0" in done.stdout
    unknown = run("models", "show", "detectr")
    assert unknown.returncode == 2
    assert "did you mean detector? headrace models lists them" in unknown.stderr


def test_local_starts_a_server_for_one_command(run: Run) -> None:
    done = run("predict", "--local", "--model_id", "echo", "hello", CLARIFAI_PAT=CANARY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_local_needs_no_model_and_names_the_one_it_takes(run: Run, tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "src/headrace/data/samples/photos/cat.jpg"
    (tmp_path / "cat.jpg").write_bytes(photo.read_bytes())
    done = run("predict", "--local", "cat.jpg", "-o", "json", "--output_config", '{"max_concepts": 3}')
    assert done.returncode == 0
    assert re.fullmatch(r"headrace: using \S+, the default for image\n", done.stderr)
    names = [concept["name"] for concept in json.loads(done.stdout)["outputs"][0]["data"]["concepts"]]
    assert len(names) == 3
    assert any("cat" in name or "tabby" in name for name in names)


def test_help_is_fast_and_imports_little(run: Run) -> None:
    code = (
        "import sys; from headrace.cli import main; main(['--help']); main(['predict', '--help']);"
        "print(sorted({'rich', 'grpc', 'PIL', 'numpy', 'yaml', 'httpx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for argv in (
        ("--help",),
        ("model", "predict", "--help"),
        ("stream", "-h"),
        ("demo", "--help"),
        ("serve", "--help"),
    ):
        assert run(*argv).returncode == 0
    assert run("--version").stdout.startswith("headrace ")


def test_piped_output_draws_nothing(echo_server: str, environment: dict[str, str]) -> None:
    code = (
        "import sys; from headrace.cli import main;"
        f"codes = [main([c, '--base_url', {echo_server!r}, {URL!r}, 'x']) for c in ('predict', 'generate', 'stream')];"
        f"codes.append(main(['models', '--base_url', {echo_server!r}]));"
        "print(codes, sorted({'rich', 'PIL', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0] []"


def test_without_click_one_line_names_the_extra(environment: dict[str, str]) -> None:
    code = "import sys; sys.modules['click'] = None; from headrace.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"headrace: the command line needs the extra 'cli': {install('cli')}\n"


# --- what a question may be asked of, and what is said where something does not fit

SAMPLES = Path(__file__).parents[2] / "src/headrace/data/samples"
COFFEE, CAT, FILM = (str(SAMPLES / name) for name in ("photos/coffee.jpg", "photos/cat.jpg", "videos/photos.mp4"))
REFUSED = {
    "a question that a model cannot use": (("predict", "--local", "classifier", COFFEE, "What?"), 3, "text and image"),
    "a question about a film": (("predict", "--local", FILM, "What?"), 2, "no model here takes video and text"),
    "two pictures and two questions": (("predict", "--local", COFFEE, CAT, "a b", "c d"), 2, "which belong together"),
    "a type that a model does not take": (("stream", "--local", "sentiment", COFFEE, CAT), 3, "model vader-sentiment"),
    "frames that a model does not take": (("stream", "--local", "sentiment", "--video", FILM), 3, "vader-sentiment"),
    "a bare word": (("stream", "--local", "emptydir"), 2, "no file emptydir; a text. --input_type text"),
    "an unknown model": (("predict", "--local", "--model_id", "detectr", "x"), 3, "did you mean detector"),
    "a parameter": (
        ("predict", "--local", "shapes-to-image", "a red circle", "-i", "widht=9"),
        1,
        "did you mean width",
    ),
    "frames' options without frames": (("stream", "--local", "echo", "a b", "--fps", "1"), 2, "--fps goes with frames"),
    "a classifier's drawing": (("predict", "--local", "classifier", COFFEE, "--draw"), 1, "detector draws boxes"),
    "no camera": (("stream", "--local", "--camera", "77"), 1, "no such camera"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_once_without_codes(run: Run, case: str) -> None:
    argv, code, message = REFUSED[case]
    done = run(*argv)
    assert done.returncode == code
    lines = [line for line in done.stderr.splitlines() if "using" not in line and " answer" not in line]
    assert any(re.search(message, line) for line in lines), lines
    assert len([line for line in lines if re.search(message, line)]) <= 2
    assert not re.search(r"\d{5}\)|\[request|input h[0-9a-f]|headrace: headrace:", done.stderr)
    assert len(done.stderr) < 600


def test_codes_are_shown_when_debugging(run: Run) -> None:
    done = run("predict", "--local", "shapes-to-image", "a red circle", "-i", "widht=9", HEADRACE_DEBUG="1")
    assert "CONN_INVALID_REQUEST 11102" in done.stderr


def test_pictures_with_one_question_are_an_input_each(echo: Run) -> None:
    done = echo("predict", COFFEE, CAT, "What is it?", "-o", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["source"].rpartition("/")[2] for row in rows] == ["coffee.jpg + text 3", "cat.jpg + text 3"]
    assert all(row["outputs"][0]["data"]["text"]["raw"].endswith("What is it?") for row in rows)


def test_a_film_goes_to_the_model_of_films_and_as_frames_to_one_of_pictures(run: Run) -> None:
    whole = run("predict", "--local", FILM)
    assert re.search(r"using \S+-video, the default for video", whole.stderr)
    assert (whole.returncode, whole.stdout.split("\t")[0]) == (0, "500")
    frames = run("stream", "--local", "detector", FILM, "--fps", "1")
    assert (frames.returncode, frames.stdout.count("\n")) == (0, 6)


def test_a_bare_id_is_a_model_of_a_server_of_ones_own(run: Run, echo_server: str) -> None:
    for named in (["echo", "hello"], ["--model_id", "echo", "hello"]):
        done = run("predict", "--base_url", echo_server, *named)
        assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


TYPED = ["1.10", "1e3", "true", "null", '"quoted"', "[1, 2]", "007", " blanks "]


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("name", ["prompt", "text"])
def test_a_text_arrives_as_it_was_typed(echo: Run, typed: str, name: str) -> None:
    done = echo("predict", "-i", f"{name}={typed}")
    assert (done.returncode, done.stdout) == (0, f"{typed}\n")


def test_other_arguments_are_what_their_types_say(run: Run) -> None:
    done = run("predict", "--local", "echo", "-i", "text=1.10", "-i", "repeat=2")
    assert (done.returncode, done.stdout) == (0, "1.10 1.10\n")
