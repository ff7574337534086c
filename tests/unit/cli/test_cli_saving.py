"""`--save`: names inside the folder only, nothing overwritten unasked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from headrace.cli.given import Given
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


CAT = Given("file", "photos/My Cat.jpg", "image", "photos/My Cat.jpg")


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
    assert Saver(folder).save(picture(png()), (CAT,), 7) == [folder / "000007-my-cat.png"]
    assert (folder / "000007-my-cat.png").read_bytes() == png()
    assert len(list(folder.iterdir())) == 1


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    Saver(tmp_path).save(picture(png()), (CAT,), 0)
    with pytest.raises(InputError, match="--force"):
        Saver(tmp_path).save(picture(png((50, 50))), (CAT,), 0)
    assert (tmp_path / "000000-my-cat.png").read_bytes() == png()
    Saver(tmp_path, force=True).save(picture(png((50, 50))), (CAT,), 0)
    assert (tmp_path / "000000-my-cat.png").read_bytes() == png((50, 50))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_in_the_folder_is_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"keep me")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "000000-my-cat.png").symlink_to(outside)
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
    assert saved == [tmp_path / "000001-my-cat-mask-00-cat.png"]
    wav = b"RIFF\0\0\0\0WAVEfmt "
    assert Saver(tmp_path).save(prediction(audio=pb.Audio(base64=wav)), (CAT,), 2) == [tmp_path / "000002-my-cat.wav"]


def test_boxes_are_drawn_on_the_input(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(png((200, 100)))
    given = Given("file", str(source), "image", "in.png")
    (saved,) = Saver(tmp_path / "out", draw=True).save(boxes(), (given,), 0)
    assert saved.name == "000000-in-boxes.png"
    with Image.open(saved) as drawn:
        assert drawn.size == (200, 100)
        assert drawn.convert("RGB").getpixel((20, 50)) != (255, 255, 255)
    with pytest.raises(InputError, match="file instead of a URL"):
        Saver(None, draw=True).save(boxes(), (Given("url", "https://a.example/x.jpg", "image", "x.jpg"),), 0)


def test_a_text_is_saved_and_concepts_leave_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert Saver(folder).save(prediction(concepts=[pb.Concept(name="cat", value=1)]), (CAT,), 0) == []
    assert not folder.exists()
    assert Saver(folder).save(prediction(text=pb.Text(raw="BM: ü")), (CAT,), 0) == [folder / "000000-my-cat.txt"]
    assert (folder / "000000-my-cat.txt").read_text(encoding="utf-8") == "BM: ü"
