"""What the command line makes of results: JSON, tables, files, drawings."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.cli import Run
from tests.support.forkserver import ForkServer
from tests.support.weights import need


def test_json_is_all_there_is_on_stdout(echo: Run) -> None:
    one = json.loads(echo("predict", "a", "-o", "json").stdout)
    assert (one["position"], one["outputs"][0]["data"]["text"]["raw"]) == (0, "a")
    many = json.loads(echo("predict", "a", "b", "-o", "json").stdout)
    assert [item["outputs"][0]["data"]["text"]["raw"] for item in many] == ["a", "b"]
    lines = echo("predict", "a", "b", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["position"] for line in lines] == [0, 1]


def test_tables_of_results(echo: Run, tmp_path: Path) -> None:
    for command in ("predict", "stream", "generate"):
        inputs = ["first, text"] if command == "generate" else ["first, text", "second"]
        done = echo(command, *inputs, "-o", "csv")
        assert done.returncode == 0
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        texts = ["first,", " text"] if command == "generate" else inputs
        assert [(row["kind"], row["text"]) for row in rows] == [("text", text) for text in texts]
        assert rows[0]["source"] == "text 1"
    (tmp_path / "empty.txt").touch()
    failed = echo("stream", "good", "empty.txt", "-o", "csv")
    assert failed.returncode == 1
    assert [row["kind"] for row in csv.DictReader(io.StringIO(failed.stdout))] == ["text", "error"]


def test_texts_are_saved(echo: Run, tmp_path: Path) -> None:
    for command in ("predict", "generate", "stream"):
        done = echo(command, "some words", "--save", command)
        assert done.returncode == 0
        assert (tmp_path / command / "text-1.txt").read_text() == "some words"
        assert f"saved {command}/text-1.txt" in done.stderr
    again = echo("generate", "some words", "--save", "generate")
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_boxes_are_drawn_and_saved(run: Run, tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "src/headrace/data/samples/photos/photographer.jpg"
    argv = ("predict", "--local", "detector", str(photo), "--draw", "--save", "out")
    done = run(*argv)
    assert done.returncode == 0
    assert done.stdout.startswith("person\t")
    assert (tmp_path / "out" / "photographer-boxes.png").read_bytes().startswith(b"\x89PNG")
    again = run(*argv)
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert run(*argv, "--force").returncode == 0


@pytest.mark.models
def test_masks_are_drawn_and_saved(run: Run, tmp_path: Path) -> None:
    need("mtcnn")
    photo = Path(__file__).parents[2] / "src/headrace/data/samples/photos/astronaut.jpg"
    done = run("predict", "--local", "selfie-segmentation", str(photo), "--draw", "--save", "out")
    assert done.returncode == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "astronaut-boxes.png",
        "astronaut-mask-00-person.png",
        "astronaut-mask-01-background.png",
    ]
    with Image.open(tmp_path / "out" / names[0]) as drawn, Image.open(photo) as original:
        assert drawn.size == original.size
        assert drawn.getpixel((256, 400)) != original.getpixel((256, 400))  # the person is tinted
        background = [(2, y) for y in range(100, 500, 50)]
        assert any(drawn.getpixel(at) == original.getpixel(at) for at in background)


def test_a_picture_that_a_model_made_is_saved(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pyanime4k", reason="has no build for this Python")
    photo = Path(__file__).parents[2] / "src/headrace/data/samples/photos/cat.jpg"
    with Image.open(photo) as original:
        small = original.resize((60, 40))
    small.save(tmp_path / "small.png")
    done = run("predict", "--local", "acnet-upscaler", "-i", "image=small.png", "--save", "out")
    assert done.returncode == 0
    assert done.stdout.startswith("picture of ")
    with Image.open(tmp_path / "out" / "small.png") as saved:
        assert saved.size == (120, 80)
    quoted = ("--inference_params", '{"width":"150"}')  # as in the documents
    assert run("predict", "--local", "acnet-upscaler", "small.png", *quoted, "--save", "wide").returncode == 0
    with Image.open(tmp_path / "wide" / "small.png") as saved:
        assert saved.size == (150, 100)


def test_sounds_of_a_stream_are_in_its_json_and_saved(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("hibari", reason="has no build for this Python")
    done = run("generate", "--local", "hibari-tts", "Hello there. Bye.", "-o", "json", "--save", "out")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert len(found["outputs"]) == found["pieces"] == 2
    sounds = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in sounds] == ["000000-text-1.wav", "000001-text-1.wav"]
    assert base64.b64decode(found["outputs"][1]["data"]["audio"]["base64"]) == sounds[1].read_bytes()


def test_stream_as_one_json_list(echo: Run) -> None:
    found = json.loads(echo("stream", "first text", "second text", "-o", "json").stdout)
    assert [item["source"] for item in found] == ["text 1", "text 2"]


def test_generate_as_json(echo: Run) -> None:
    pieces = [json.loads(line)["text"] for line in echo("generate", "a b c", "-o", "jsonl").stdout.splitlines()]
    assert "".join(pieces) == "a b c"
    assert len(pieces) == 3
    whole = json.loads(echo("generate", "a b c", "-o", "json").stdout)
    assert whole["text"] == "a b c"


PIPED = {
    "picture": (("shapes-to-image", "--input_type", "text", "--bytes", "a red circle"), b"\x89PNG\r\n\x1a\n"),
    "sound": (("hibari-tts", "--input_type", "text", "--bytes", "Hello."), b"RIFF"),
}


@pytest.mark.parametrize("kind", PIPED)
def test_a_lone_picture_or_sound_goes_into_a_pipe_as_it_is(
    kind: str, forks: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    argv, magic = PIPED[kind]

    def run_bytes(*more: str) -> tuple[bytes, str]:
        whole = ("predict", "--local", "--model_id", *argv, *more)
        done = forks.run(whole, stdin=None, environment=environment, folder=tmp_path, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.decode()

    out, err = run_bytes()
    assert out.startswith(magic)
    assert err == ""
    if kind == "picture":
        assert Image.open(io.BytesIO(out)).size == (256, 256)
    else:
        assert len(out) == int.from_bytes(out[4:8], "little") + 8
    assert run_bytes("-o", "json")[0].startswith(b"{")
    out, err = run_bytes("--save", "files")  # it is kept: the pipe gets a line about it
    assert out.startswith(f"{kind} of ".encode())
    assert "saved files/" in err


@pytest.mark.parametrize(("name", "format"), [("boxes.png", "PNG"), ("boxes.jpg", "JPEG"), ("new/boxes.webp", "WEBP")])
def test_a_drawing_goes_into_the_file_that_is_named(run: Run, tmp_path: Path, name: str, format: str) -> None:
    photo = Path(__file__).parents[2] / "src/headrace/data/samples/photos/photographer.jpg"
    argv = ("predict", "--local", "detector", str(photo), "--draw", name)
    done = run(*argv)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / name) as drawn, Image.open(photo) as original:
        assert (drawn.format, drawn.size) == (format, original.size)
    assert f"saved {name}" in done.stderr
    again = run(*argv)
    assert again.returncode == 2
    assert f"{name} already exists; --force overwrites it" in again.stderr
    assert run(*argv, "--force").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name.partition("/")[0]]


@pytest.mark.models
def test_the_language_model_that_answers_is_named(run: Run) -> None:
    need("smollm2-135m-instruct")
    params = ("--inference_params", '{"max_tokens": 3}')
    for argv, line in (
        (
            ("generate", "--local", "--model_id", "smollm2-135m-instruct", "--bytes", "Hi"),
            "smollm2-135m-instruct answers;",
        ),
        (
            ("predict", "--local", "--model_id", "smollm2-135m-instruct", "--bytes", "Hi"),
            "smollm2-135m-instruct answers;",
        ),
        (("predict", "--local", "--bytes", "Hi"), "using smollm2-135m-instruct, the default for text;"),
    ):
        err = run(*argv, *params).stderr
        assert err == f"headrace: {line} a better one (1.1 GB): headrace models pull qwen2.5-coder-1.5b\n"
