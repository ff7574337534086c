"""`--save`: names inside the folder only, nothing overwritten unasked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from headrace.cli.part import Part
from headrace.cli.saving import Saver, slug
from headrace.errors import InputError
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


def png(size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, "PNG")
    return buffer.getvalue()


def prediction(**data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))])  # type: ignore[arg-type]


def picture(data: bytes) -> Prediction:
    return prediction(image=pb.Image(base64=data))


def boxes() -> Prediction:
    corners = pb.BoundingBox(top_row=0.1, left_col=0.1, bottom_row=0.9, right_col=0.9)
    region = pb.Region(
        region_info=pb.RegionInfo(bounding_box=corners), data=pb.Data(concepts=[pb.Concept(name="cup", value=0.8)])
    )
    return prediction(regions=[region])


CAT = Part("file", "photos/My Cat.jpg", "image", "photos/My Cat.jpg")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photos/My Cat.jpg", "my-cat"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\system32.dll", "system32"),
        ("..", "result"),
        ("", "result"),
        ("/", "result"),
        (".bashrc", "bashrc"),
        ("Ünïcödé ✨.png", "unicode"),
        ("a\0b\n.png", "a-b"),
        ("x" * 300, "x" * 48),
    ],
)
def test_slugs_are_safe_everywhere(name: str, safe: str) -> None:
    assert slug(name) == safe


def test_a_picture_is_saved_under_position_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert Saver(folder).save(picture(png()), (CAT,), 7) == [folder / "my-cat.png"]
    assert (folder / "my-cat.png").read_bytes() == png()
    assert len(list(folder.iterdir())) == 1


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    Saver(tmp_path).save(picture(png()), (CAT,), 0)
    with pytest.raises(InputError, match="--force"):
        Saver(tmp_path).save(picture(png((50, 50))), (CAT,), 0)
    assert (tmp_path / "my-cat.png").read_bytes() == png()
    Saver(tmp_path, force=True).save(picture(png((50, 50))), (CAT,), 0)
    assert (tmp_path / "my-cat.png").read_bytes() == png((50, 50))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_in_the_folder_is_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"keep me")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "my-cat.png").symlink_to(outside)
    with pytest.raises(InputError):
        Saver(folder).save(picture(png()), (CAT,), 0)
    Saver(folder, force=True).save(picture(png()), (CAT,), 0)
    assert outside.read_bytes() == b"keep me"


def test_masks_and_sounds_are_saved(tmp_path: Path) -> None:
    mask = pb.Region(
        region_info=pb.RegionInfo(mask=pb.Mask(image=pb.Image(base64=png()))),
        data=pb.Data(concepts=[pb.Concept(name="../cat", value=0.9)]),
    )
    saved = Saver(tmp_path).save(prediction(regions=[mask]), (CAT,), 1)
    assert saved == [tmp_path / "my-cat-mask-00-cat.png"]
    wav = b"RIFF\0\0\0\0WAVEfmt "
    assert Saver(tmp_path).save(prediction(audio=pb.Audio(base64=wav)), (CAT,), 2) == [tmp_path / "my-cat.wav"]


def test_boxes_are_drawn_on_the_input(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(png((200, 100)))
    given = Part("file", str(source), "image", "in.png")
    (saved,) = Saver(tmp_path / "out", draw="").save(boxes(), (given,), 0)
    assert saved.name == "in-boxes.png"
    with Image.open(saved) as drawn:
        assert drawn.size == (200, 100)
        assert drawn.convert("RGB").getpixel((20, 50)) != (255, 255, 255)
    with pytest.raises(InputError, match="file instead of a URL"):
        Saver(None, draw="").save(boxes(), (Part("url", "https://a.example/x.jpg", "image", "x.jpg"),), 0)


def test_a_text_is_saved_and_concepts_leave_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert Saver(folder).save(prediction(concepts=[pb.Concept(name="cat", value=1)]), (CAT,), 0) == []
    assert not folder.exists()
    assert Saver(folder).save(prediction(text=pb.Text(raw="BM: ü")), (CAT,), 0) == [folder / "my-cat.txt"]
    assert (folder / "my-cat.txt").read_text(encoding="utf-8") == "BM: ü"


def sound() -> Prediction:
    return prediction(audio=pb.Audio(base64=b"RIFF\0\0\0\0WAVE"))


def words() -> Prediction:
    return prediction(text=pb.Text(raw="BM"))


def things() -> Prediction:
    return prediction(concepts=[pb.Concept(name="cat", value=1)])


ONE_FILE = {
    "a picture": ("out/a.png", picture(png()), b"\x89PNG"),
    "a picture in another format": ("a.jpg", picture(png()), b"\xff\xd8\xff"),
    "a sound": ("a.wav", sound(), b"RIFF"),
    "a text": ("a.txt", words(), b"BM"),
    "anything as JSON": ("a.json", things(), b'{\n  "'),
}


@pytest.mark.parametrize("case", ONE_FILE)
def test_the_one_answer_goes_into_the_one_file(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, answer, start = ONE_FILE[case]
    monkeypatch.chdir(tmp_path)
    assert Saver(Path(name)).save(answer, (CAT,), 0) == [Path(name)]
    assert Path(name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("a.png", sound(), "nothing to save in a.png: the answer holds a sound"),
        ("a.wav", words(), "the answer holds text"),
        ("a.mp3", sound(), "a wav sound: --save a.wav"),
        ("a.txt", things(), "neither picture, sound nor text"),
        ("a.psd", picture(png()), "use .png or .jpg"),
    ],
)
def test_a_file_that_the_answer_does_not_fit_is_not_written(
    tmp_path: Path, name: str, answer: Prediction, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        Saver(Path(name)).save(answer, (CAT,), 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [{"save": Path("a.png")}, {"save": None, "draw": "a.png"}])
def test_one_file_is_refused_for_several_inputs_and_where_it_is_there(
    tmp_path: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError, match="one file, for one input"):
        Saver(**given, several=True)
    Path("a.png").write_bytes(b"mine")
    with pytest.raises(click.UsageError, match="--force"):
        Saver(**given)
    Saver(**given, force=True)


def test_of_several_inputs_the_position_stands_in_front(tmp_path: Path) -> None:
    assert Saver(tmp_path, several=True).save(words(), (CAT,), 7) == [tmp_path / "000007-my-cat.txt"]


NOTHING = {
    "a classifier": (things(), "detector draws boxes"),
    "a text": (words(), "detector draws boxes"),
    "a film": (prediction(frames=[pb.Frame()]), "stream --video"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_cannot_be_drawn_says_what_to_use(tmp_path: Path, case: str) -> None:
    answer, message = NOTHING[case]
    with pytest.raises(InputError, match=message):
        Saver(tmp_path, draw="").save(answer, (CAT,), 0)


def test_nothing_found_is_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Saver(None, draw=str(tmp_path / "a.png")).saved(prediction(), (CAT,), 0)
    assert capsys.readouterr().err == "headrace: nothing to draw: nothing was found\n"
    with pytest.raises(click.UsageError, match=r"--draw out\.txt"):
        Saver(None, draw="out.txt")
