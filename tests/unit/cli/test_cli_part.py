"""What a word means: a file, a URL, a text, a model."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from headrace.cli import part as from_user

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_existing_file_is_a_file_and_its_bytes_beat_its_name(folder: Path) -> None:
    (folder / "picture.txt").write_bytes(PNG)
    (folder / "word").write_bytes(b"just text")
    assert from_user.from_word("picture.txt", None) == from_user.Part("file", "picture.txt", "image", "picture.txt")
    assert from_user.from_word("word", None).kind is None
    assert from_user.from_word("word", "text").kind == "text"


@pytest.mark.parametrize("word", ["cta.jpg", "./photo", "../a", "/no/such/thing", "Clip.MP4", "notes.txt"])
def test_a_mistyped_file_name_is_a_missing_file(folder: Path, word: str) -> None:
    with pytest.raises(click.UsageError, match="missing file"):
        from_user.from_word(word, None)


@pytest.mark.parametrize("word", ["photos/", "a/b/", "~/no-such-folder/"])
def test_a_mistyped_folder_name_is_a_missing_folder(folder: Path, word: str) -> None:
    with pytest.raises(click.UsageError, match=f"missing folder: {word}$"):
        from_user.from_word(word, None)


@pytest.mark.parametrize("word", ["Hello!", "What is node.js?", "3.14", "x" * 5000, "a\0b"])
def test_other_words_are_text(folder: Path, word: str) -> None:
    found = from_user.from_word(word, None)
    assert (found.source, found.kind, found.value) == ("data", "text", word.encode())


def test_urls_know_their_type_by_their_path() -> None:
    assert from_user.from_word("https://example.com/a/cat.JPG?size=1", None) == from_user.Part(
        "url", "https://example.com/a/cat.JPG?size=1", "image", "cat.JPG"
    )
    assert from_user.from_word("https://example.com/", None).kind is None
    assert from_user.from_word("https://example.com/x", "video").kind == "video"


def test_a_folder_is_for_stream(folder: Path) -> None:
    with pytest.raises(click.UsageError, match="headrace stream"):
        from_user.from_word(str(folder), None)


def test_nothing_is_no_input() -> None:
    with pytest.raises(click.UsageError, match="empty"):
        from_user.from_text("", None)


@pytest.mark.parametrize(
    ("data", "kind", "value"),
    [(b"a question\n", "text", b"a question"), (PNG, "image", PNG), ("ü".encode(), "text", "ü".encode())],
)
def test_stdin_is_one_input(monkeypatch: pytest.MonkeyPatch, data: bytes, kind: str, value: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    found = from_user.from_stdin(None)
    assert (found.kind, found.value) == (kind, value)


@pytest.mark.parametrize("data", [b"", b"\n", b"  \n"])
def test_an_empty_stdin_is_no_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(click.UsageError, match="no input"):
        from_user.from_stdin(None)
