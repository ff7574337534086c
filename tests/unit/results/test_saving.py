"""`Prediction.save`: what is written, and under which name."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from headrace.draw import colour_of
from headrace.errors import ConfigError
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb

WAV = b"RIFF\x24\0\0\0WAVEfmt "


def png(color: str = "red", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (6, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def prediction(**data: object) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(**data))], input_id="a")  # type: ignore[arg-type]


def region(name: str, mask: bytes) -> pb.Region:
    info = pb.RegionInfo(mask=pb.Mask(image=pb.Image(base64=mask)))
    return pb.Region(region_info=info, data=pb.Data(concepts=[pb.Concept(name=name, value=0.5)]))


def left_mask() -> bytes:
    mask = Image.new("L", (6, 4))
    mask.paste(255, (0, 0, 3, 4))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = prediction(image=pb.Image(base64=png()))
SOUND = prediction(audio=pb.Audio(base64=WAV))
TEXT = prediction(text=pb.Text(raw="BM, said the bitmap: ü"))
CONCEPTS = prediction(concepts=[pb.Concept(name="cat", value=0.5)])


@pytest.mark.parametrize(
    ("found", "name"),
    [(PICTURE, "out.png"), (SOUND, "out.wav"), (TEXT, "out.txt"), (CONCEPTS, "out.json")],
    ids=["picture", "sound", "text", "concepts"],
)
def test_the_extension_follows_the_content(tmp_path: Path, found: Prediction, name: str) -> None:
    assert found.save(tmp_path / "out") == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bytes_are_written_as_they_came(tmp_path: Path) -> None:
    assert PICTURE.save(tmp_path / "a.png").read_bytes() == png()
    assert SOUND.save(str(tmp_path / "a.wav")).read_bytes() == WAV
    assert TEXT.save(tmp_path / "a.txt").read_text(encoding="utf-8") == "BM, said the bitmap: ü"
    assert PICTURE.save(tmp_path / "a.v2").read_bytes() == png()  # an extension that means nothing to us


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp", "a.bmp", "a.tiff", "a.gif"])
def test_a_picture_is_written_in_the_format_of_the_name(tmp_path: Path, name: str) -> None:
    with Image.open(PICTURE.save(tmp_path / name)) as saved:
        assert saved.size == (6, 4)
        assert saved.format in ("JPEG", "WEBP", "BMP", "TIFF", "GIF")
        assert saved.format != "PNG"
    transparent = prediction(image=pb.Image(base64=png(mode="RGBA")))
    assert transparent.save(tmp_path / name).exists()


def test_one_mask_is_written_as_it_came(tmp_path: Path) -> None:
    found = prediction(regions=[region("cat", left_mask())])
    assert found.save(tmp_path / "mask").read_bytes() == left_mask()


def test_several_masks_become_one_picture(tmp_path: Path) -> None:
    whole = png("white", "L")
    found = prediction(regions=[region("sky", whole), region("cat", left_mask())])
    with Image.open(found.save(tmp_path / "masks")) as saved:
        assert saved.getpixel((0, 0)) == colour_of("cat")
        assert saved.getpixel((5, 3)) == colour_of("sky")


@pytest.mark.parametrize(
    ("found", "name"), [(TEXT, "a.png"), (PICTURE, "a.wav"), (SOUND, "a.mp3"), (CONCEPTS, "a.txt")]
)
def test_what_is_not_there_cannot_be_saved(tmp_path: Path, found: Prediction, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be saved as"):
        found.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_picture_is_kept_but_not_converted(tmp_path: Path) -> None:
    broken = prediction(image=pb.Image(base64=b"\x89PNG\r\n\x1a\nnonsense"))
    assert broken.save(tmp_path / "a").name == "a.png"
    with pytest.raises(ConfigError, match=r"cannot be converted to \.jpg"):
        broken.save(tmp_path / "a.jpg")


def test_exports_by_extension(tmp_path: Path) -> None:
    assert json.loads(PICTURE.save(tmp_path / "a.json").read_text())["input_id"] == "a"
    with CONCEPTS.save(tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["kind"], row["name"], row["value"]) == ("concept", "cat", "0.5")


def test_a_batch_is_saved_one_by_one_or_as_a_whole(tmp_path: Path) -> None:
    outputs = [pb.Output(data=pb.Data(text=pb.Text(raw=raw))) for raw in ("a", "b")]
    batch = Prediction(b"", outputs)
    with pytest.raises(ConfigError, match="answers to 2 inputs"):
        batch.save(tmp_path / "a.txt")
    assert [one.save(tmp_path / f"{n}.txt").read_text() for n, one in enumerate(batch)] == ["a", "b"]
    assert len(batch.save(tmp_path / "a.jsonl").read_text().splitlines()) == 2
