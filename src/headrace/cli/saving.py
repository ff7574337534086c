"""`--save` and `--draw`: pictures, masks, sounds and texts as files inside a folder, or as the one file of a name."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace import media
from headrace.cli import picture
from headrace.cli.options import is_file
from headrace.cli.run import say, warn_input
from headrace.cli.terminal import in_bytes, is_terminal
from headrace.errors import HeadraceError, InputError
from headrace.media import extension
from headrace.support import jsontext
from headrace.support.files import placed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import Prediction
    from headrace.cli.options import Options
    from headrace.cli.part import Part

_SLUG_CHARACTERS = 48


class Saver:
    """Writes the parts of predictions into a folder, or the one answer into one file.

    In a folder, made when first needed, files are named after their inputs: `{stem}.{extension}`, of several inputs
    with the position in front, `{position:06d}-{stem}.{extension}`.

    Args:
        save: the folder or file (of a known extension); None: nothing is kept.
        force: overwrite existing files.
        draw: draw boxes and masks on the input's picture: into this file, or if "", into the folder.
        several: there is more than one input.

    Raises:
        click.UsageError: one file for several inputs, a file that is there, or one that nothing can be written to.
    """

    @classmethod
    def of(cls, options: Options, *, several: bool) -> Saver:
        """Make the one that the options ask for; without `--save` and `--draw` it writes nothing."""
        return cls(options.save, force=options.force, draw=options.draw, several=several)

    def __init__(
        self, save: Path | None, *, force: bool = False, draw: str | None = None, several: bool = False
    ) -> None:
        self._file = save if save is not None and is_file(save) else None
        self._drawing = Path(draw) if draw else None
        for option, path in (("--save", self._file), ("--draw", self._drawing)):
            if path is not None and several:
                raise click.UsageError(f"{option} {path} is one file, for one input; give --save DIR for several")
            if path is not None and path.exists() and not force:
                raise click.UsageError(f"{path} already exists; --force overwrites it")
        if self._drawing is not None and media.kind_of_name(self._drawing.name) != "image":
            raise click.UsageError(f"--draw {self._drawing}: not a picture's name (such as .png or .jpg); {_OF_FILMS}")
        self._folder = Path() if save is None or self._file else save
        self._keep = save is not None and self._file is None
        self._force = force
        self._draw = draw is not None
        self._several = several
        self._told = False

    @property
    def active(self) -> bool:
        """Whether it may write files."""
        return self.keeps or self._draw

    @property
    def keeps(self) -> bool:
        """Whether it saves answers."""
        return self._keep or self._file is not None

    @property
    def one_file(self) -> bool:
        """Whether all goes into one file."""
        return self._file is not None

    def save(
        self, prediction: Prediction, parts: tuple[Part, ...], position: int, *, alone: bool = False
    ) -> list[Path]:
        """Save one good prediction's media, and say where on stderr.

        Returns:
            The files written.

        Raises:
            InputError: a file already exists (without `force`), the input cannot be drawn on, or the answer holds
                nothing of the kind that the file is for.
            OSError: the folder or a file cannot be written.
        """
        stem = slug(parts[0].name if parts else prediction.input_id)
        if self._several and not alone:
            stem = f"{position:06d}-{stem}"
        written = []
        if self._file is not None:
            written.append(self._write(self._file, _content_for(self._file, prediction)))
        for suffix, kind, data in self._contents(prediction):
            written.append(self._write(self._folder / f"{stem}{suffix}.{kind}", data))
        if self._draw and prediction.regions:
            path = self._drawing or self._folder / f"{stem}-boxes.png"
            written.append(self._write(path, encoded(_drawn(prediction, parts), path)))
        elif self._draw:
            _nothing_to_draw(prediction)
        return written

    def saved(self, prediction: Prediction, parts: tuple[Part, ...], position: int, *, alone: bool = False) -> bool:
        """Save as `save` does, show a drawing if the terminal can; a failure is reported, and given as False.

        Args:
            alone: whether there is no other input that a message could mean.
        """
        if not self.keeps and not self._told and (prediction.image or prediction.audio) and is_terminal(sys.stderr):
            self._told = True
            say("--save FILE keeps it")
        try:
            for path in self.save(prediction, parts, position, alone=alone):
                if path.stem.endswith("-boxes") or path == self._drawing:
                    picture.show(path.read_bytes())
        except (HeadraceError, OSError) as error:
            warn_input("" if alone or not parts else parts[0].name, error)
            return False
        return True

    def _write(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data, self._force)
        say(f"saved {path} ({in_bytes(len(data))})")
        return path

    def _contents(self, prediction: Prediction) -> Iterator[tuple[str, str, bytes]]:
        """Yield the parts to save: the end of the name, the extension, the bytes."""
        if not self._keep:
            return
        if image := prediction.image:
            yield "", extension(image), image
        if audio := prediction.audio:
            yield "-sound" if image else "", extension(audio), audio
        for n, region in enumerate(prediction.regions):
            if region.mask:
                yield f"-mask-{n:02d}-{slug(region.name)}", extension(region.mask), region.mask
        if prediction.text:
            yield "", "txt", prediction.text.encode(errors="backslashreplace")


_OF_FILMS = "the frames of a video: headrace stream --video clip.mp4 --draw out.mp4"


def _content_for(path: Path, prediction: Prediction) -> bytes:
    """Return the part of an answer that a file of this name is for."""
    kind = media.kind_of_name(path.name)
    if path.suffix.lower() == ".json":
        return f"{jsontext.dumps(prediction.to_dict(), indent=2)}\n".encode()
    if kind == "image" and prediction.image:
        return encoded(prediction.image, path)
    if kind == "audio" and prediction.audio:
        format_ = extension(prediction.audio)
        if media.extension_of_path(path.suffix) != format_:
            raise InputError(f"the answer is a {format_} sound: --save {path.with_suffix(f'.{format_}')}")
        return prediction.audio
    if kind == "text" and prediction.text:
        return prediction.text.encode(errors="backslashreplace")
    holds = "a picture" if prediction.image else "a sound" if prediction.audio else "text" if prediction.text else ""
    raise InputError(f"nothing to save in {path}: the answer holds {holds or 'neither picture, sound nor text'}")


def encoded(data: bytes, path: Path) -> bytes:
    """Return a picture in the format that a file's name asks for."""
    if media.extension_of_path(path.suffix) == extension(data):
        return data
    media.require("PIL.Image", "pictures")
    buffer = io.BytesIO()
    image = media.decode(data)
    try:
        image.save(buffer, _FORMATS.get(path.suffix.lower(), path.suffix[1:].upper()))
    except (KeyError, OSError, ValueError):
        try:
            image.convert("RGB").save(buffer, _FORMATS.get(path.suffix.lower(), path.suffix[1:].upper()))
        except (KeyError, OSError, ValueError):
            raise InputError(f"{path}: pictures cannot be written in this format; use .png or .jpg") from None
    return buffer.getvalue()


_FORMATS = {".jpg": "JPEG", ".tif": "TIFF"}


def _nothing_to_draw(prediction: Prediction) -> None:
    """Say that nothing was found to be drawn.

    Raises:
        InputError: the answer is of a kind that cannot be drawn.
    """
    if prediction.frames:
        raise InputError(f"--draw is for pictures; {_OF_FILMS}")
    if prediction.concepts:
        raise InputError("nothing to draw: a classifier says what, not where; --model_id detector draws boxes")
    if prediction.text or prediction.image or prediction.audio or prediction.embedding:
        raise InputError("nothing to draw: the answer has no boxes or masks; --model_id detector draws boxes")
    say("nothing to draw: nothing was found")


def _drawn(prediction: Prediction, parts: tuple[Part, ...]) -> bytes:
    from headrace.draw import draw_on_bytes

    picture = next((part for part in parts if part.kind in ("image", None) and part.source != "url"), None)
    if picture is None:
        raise InputError("--draw needs the picture itself: give a file instead of a URL")
    path = picture.path
    data = path.read_bytes() if path is not None else picture.value
    assert isinstance(data, bytes)
    try:
        return draw_on_bytes(data, prediction.regions)
    except ValueError as error:
        raise InputError(f"cannot draw: {error}") from error


def _write(path: Path, data: bytes, force: bool) -> None:
    """Write a new file; with `force`, put it in the place of an old one (a link is replaced, never followed)."""
    try:
        with placed(path, replace=force, follow=False) as fresh:
            fresh.write_bytes(data)
    except FileExistsError:
        raise InputError(f"{path} already exists; --force overwrites it") from None


def slug(name: str) -> str:
    """Make a name that is safe in every file system: letters, digits and dashes of its last part, without extension."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    stem = last.rpartition(".")[0] or last
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_CHARACTERS].strip("-") or "result"
