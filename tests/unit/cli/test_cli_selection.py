"""Which files of folders and patterns a stream takes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from headrace.cli.selection import Selection, most_frequent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a.png", "sub/c.jpg", "notes.txt", ".hidden.jpg", ".git/d.jpg", "unknown.bin"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(words: list[str], kind: str | None = None, fields: tuple[str, ...] | None = None) -> list[str]:
    selection = Selection(words, kind)
    return [given.name for given in selection.inputs(kind or most_frequent(selection.kinds, fields))]


def test_a_folder_gives_its_files_of_the_type_sorted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ["photos/a.png", "photos/b.jpg", "photos/sub/c.jpg"]
    assert names(["photos"], "image") == pictures
    assert names(["photos"], "text") == ["photos/notes.txt"]
    assert capsys.readouterr().err == ""  # the user said which
    assert names(["photos"]) == pictures


MIXED = {
    "the most frequent type": (("a.txt", "b.jpg", "c.jpg"), ["b.jpg", "c.jpg"], "1 text"),
    "it may be the texts": (("a.jpg", "b.txt", "c.txt"), ["b.txt", "c.txt"], "1 picture"),
    "it may be the sounds": (("a.txt", "b.wav", "c.mp3"), ["b.wav", "c.mp3"], "1 text"),
    "pictures first on a tie": (("a.txt", "b.wav", "c.mp4", "d.jpg"), ["d.jpg"], "1 video, 1 sound, 1 text"),
    "JSON beside is a result": (("a.txt", "b.jpg", "b.json", "c.jpg", "c.json"), ["b.jpg", "c.jpg"], "1 text, 2 files"),
    "JSON alone is a text": (("a.json", "b.json", "c.jpg"), ["a.json", "b.json"], "1 picture"),
    "what --save and --draw wrote": (
        ("a.jpg", "000000-a.png", "000000-a.txt", "a-boxes.png", "a-mask-00-cat.png"),
        ["a.jpg"],
        "4 files that --save wrote",
    ),
    "files that nobody knows": (("a.jpg", "b.bin"), ["a.jpg"], "1 file of no known type"),
    "nothing left out": (("a.jpg", "b.png"), ["a.jpg", "b.png"], ""),
}


@pytest.mark.parametrize("word", ["mixed", "mixed/*", "mixed/"])
@pytest.mark.parametrize("case", MIXED)
def test_of_a_mixed_folder_one_type_is_taken_and_one_line_says_so(
    folder: Path, case: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files, taken, left_out = MIXED[case]
    (folder / "mixed").mkdir()
    for name in files:
        (folder / "mixed" / name).write_bytes(b"x")
    assert names([word]) == [f"mixed/{name}" for name in taken]
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if left_out else 0)
    assert left_out in said


def test_a_model_s_types_go_before_the_most_frequent_one(folder: Path) -> None:
    assert names(["photos"], fields=("text",)) == ["photos/notes.txt"]
    assert names(["photos"], fields=("text", "image"))[0] == "photos/a.png"
    assert names(["photos"], fields=("audio",))[0] == "photos/a.png"  # none fits: the model says so


def test_patterns_files_urls_and_texts_keep_their_order(folder: Path) -> None:
    words = ["https://example.com/z.jpg", "photos/*.jpg", "photos/**/c.jpg", "photos/notes.txt", "a text", "really?"]
    assert names(words) == ["z.jpg", "photos/b.jpg", "photos/sub/c.jpg", "photos/notes.txt", "text 5", "text 6"]


def test_a_pattern_takes_what_the_user_says_it_is(folder: Path) -> None:
    assert names(["photos/*.bin"], "image") == ["photos/unknown.bin"]
    assert names(["photos/*.bin"]) == ["photos/unknown.bin"]


def test_names_with_blanks(folder: Path) -> None:
    (folder / "my photos").mkdir()
    (folder / "my photos" / "a b.jpg").write_bytes(b"x")
    expected = ["my photos/a b.jpg"]
    assert names(["my photos"]) == names(["my photos/*.jpg"]) == names(["my photos/*"]) == expected
    assert names(["my photos/a b.jpg"]) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("photos/*.gif", "no file matches"),
        ("photos/sub", "no video files"),
        ("cta.jpg", "missing file: cta.jpg"),
        ("pictures/", "missing folder: pictures/"),
        ("photos/subs", "missing file or folder: photos/subs"),
        ("photos/d.jpg", "missing file: photos/d.jpg"),
        ("my photos/d.jpg", "missing file: my photos/d.jpg .a text. give it with --bytes"),
        ("my photos/*.jpg", "no file matches my photos/"),
        ("~/no such place", "missing file or folder: ~/no such place"),
    ],
)
def test_what_gives_nothing_is_refused_before_anything_is_sent(folder: Path, word: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        Selection(["photos/a.png", word], "video")
