"""What a word looks like: a path, a pattern, a text, a model."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from headrace.cli import words as w


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "a b.jpg").write_bytes(b"x")
    (tmp_path / "cat").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PATHS = [
    *("cta.jpg", "Clip.MP4", "notes.txt", "my photos/cat.jpg", "look at cat.jpg"),  # a known extension
    *("photos/", "my photos/", "a/b", "and/or"),  # a separator
    *("*.jpg", "**", "shot-?.png", "shots-[0-9]", "a?c", "my photos/*", "my photos/*.jpg", "my photos/IMG *.jpg"),
    *("~", "~/x", "~name", ".env", "..", "./my photo", "../my photo", "/my photo", "~/my photos"),
    "m? photos",  # there is one
]
TEXTS = [
    *("Hello!", "really?", "What is node.js?", "3.14", "great", "x" * 5000, "a\0b", "two\nlines.txt", ""),
    *("What is 2 * 3?", "Is it yes and/or no?", ".NET is what?", "~5 apples", "Why [sic] is that?", "a **bold** word"),
    "https://example.com/cat.jpg",
    "rtsp://camera",
]


@pytest.mark.parametrize("word", PATHS)
def test_paths(word: str) -> None:
    assert w.looks_like_path(word)


@pytest.mark.parametrize("word", TEXTS)
def test_texts_and_urls_are_no_paths(word: str) -> None:
    assert not w.looks_like_path(word)


def split(*given: str, **more: bool) -> tuple[str | None, list[str]]:
    settings = {"model_known": False, "local": False, "other_inputs": False, "own_server": False, **more}
    return w.split_model(given, **settings)


@pytest.mark.parametrize(
    "ref",
    [
        "u/a/models/m",
        "https://clarifai.com/u/a/models/m",
        "https://clarifai.com/u/a/models/m/versions/v",
        "https://clarifai.com/u/a/models/m/model_version_id/v",
        "http://127.0.0.1:8000/u/a/models/m",
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_a_model_reference_comes_first(ref: str, local: bool) -> None:
    assert split(ref, "Hello", local=local) == (ref, ["Hello"])


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        (("detector", "cat.jpg"), {"local": True}, ("detector", ["cat.jpg"])),
        (("detector",), {"local": True, "other_inputs": True}, ("detector", [])),
        (("detector",), {"local": True}, ("detector", [])),  # its input comes from stdin
        (("great", "bad"), {"local": True}, (None, ["great", "bad"])),
        (("Hello there",), {"local": True}, (None, ["Hello there"])),
        (("cat", "dog.jpg"), {"local": True}, (None, ["cat", "dog.jpg"])),  # a file
        (("shout", "hello"), {"own_server": True}, ("shout", ["hello"])),
        (("Shout-2.1",), {"own_server": True}, ("Shout-2.1", [])),
        (("a", "b"), {"model_known": True}, (None, ["a", "b"])),
    ],
)
def test_the_model_among_the_words(
    given: tuple[str, ...], more: dict[str, bool], expected: tuple[str | None, list[str]]
) -> None:
    assert split(*given, **more) == expected


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        (("cat.jpg",), {}, "which model"),
        (("great", "bad"), {}, "which model"),
        (("cat.jpg",), {"own_server": True}, "which model"),
        (("Hello there",), {"own_server": True}, "which model"),
        (("detectr", "cat.jpg"), {"local": True}, "no model detectr; did you mean detector?"),
        (("vader-sentment",), {"local": True}, "did you mean vader-sentiment"),
        (("shout",), {"local": True, "other_inputs": True}, "no model shout; headrace models"),
        (("u/a/models/m", "x"), {"model_known": True}, "named twice"),
    ],
)
def test_what_is_no_model_is_refused(given: tuple[str, ...], more: dict[str, bool], message: str) -> None:
    with pytest.raises(click.UsageError, match=message.replace("?", r"\?")):
        split(*given, **more)
