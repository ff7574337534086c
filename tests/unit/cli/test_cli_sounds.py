"""The pieces of a sound, in one file."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest

from headrace.cli.pieces import Printer
from headrace.cli.saving import Saver
from headrace.cli.sounds import joined
from headrace.errors import InputError
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb


def wav(samples: bytes, rate: int = 8000, width: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, width, rate, 0, "NONE", ""))
        out.writeframes(samples)
    return file.getvalue()


def read(data: bytes) -> tuple[int, bytes]:
    with wave.open(io.BytesIO(data)) as file:
        return file.getframerate(), file.readframes(file.getnframes())


def piece(sound: bytes) -> Prediction:
    return Prediction(b"", [pb.Output(data=pb.Data(audio=pb.Audio(base64=sound)))])


def test_pieces_of_one_format_are_one_sound() -> None:
    assert read(joined([wav(b"ab"), wav(b""), wav(b"cde")])) == (8000, b"abcde")


def test_one_piece_stays_as_it_is() -> None:
    assert joined([b"ID3 an MP3"]) == b"ID3 an MP3"


@pytest.mark.parametrize("other", [wav(b"cd", rate=16000), wav(b"cdef", width=2), b"ID3 an MP3", b"", wav(b"cd")[:20]])
def test_others_are_refused_with_what_to_do(other: bytes) -> None:
    with pytest.raises(InputError, match=r"the answer is 2 sounds .* give --save DIR"):
        joined([wav(b"ab"), other])


@pytest.mark.parametrize("form", ["text", "jsonl", "json", "csv"])
def test_generate_saves_all_pieces_in_the_file(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(form, Saver(tmp_path / "hello.wav"), ())
    for sound in (wav(b"ab"), wav(b"cd")):
        printer.take(piece(sound))
    printer.finish()
    printer.keep()
    assert printer.saved
    assert read((tmp_path / "hello.wav").read_bytes()) == (8000, b"abcd")
    assert capsys.readouterr().err.count("saved") == 1


def test_generate_says_what_does_not_fit_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer("text", Saver(tmp_path / "hello.wav"), ())
    for sound in (wav(b"ab"), b"ID3 an MP3"):
        printer.take(piece(sound))
    printer.keep()
    assert not printer.saved
    assert "--save DIR" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_in_a_folder_each_piece_is_a_file(tmp_path: Path) -> None:
    printer = Printer("text", Saver(tmp_path / "sounds", several=True), ())
    for sound in (wav(b"ab"), wav(b"cd")):
        printer.take(piece(sound))
    printer.keep()
    assert sorted(read(path.read_bytes())[1] for path in (tmp_path / "sounds").iterdir()) == [b"ab", b"cd"]
