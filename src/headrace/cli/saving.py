"""`--save DIR` and `--draw`: pictures, masks, sounds and texts as files inside DIR, never elsewhere."""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli import picture
from headrace.cli.run import say, warn_input
from headrace.cli.terminal import in_bytes, is_terminal
from headrace.errors import HeadraceError, InputError
from headrace.files import placed
from headrace.media import extension

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import Prediction
    from headrace.cli.given import Given
    from headrace.cli.options import Options

_SLUG_CHARACTERS = 48


class Saver:
    """Writes what a prediction holds as `{position:06d}-{slug}.{extension}` into a folder, made when first needed.

    Args:
        folder: where to; None: the current folder, for drawings only.
        force: overwrite what is there.
        draw: also draw boxes and masks on the input's picture.
    """

    @classmethod
    def of(cls, options: Options) -> Saver:
        """Make the one that the options ask for; without `--save` and `--draw` it writes nothing."""
        return cls(options.save, force=options.force, draw=options.draw)

    def __init__(self, folder: Path | None, *, force: bool = False, draw: bool = False) -> None:
        self._folder = folder or Path()
        self._keep = folder is not None
        self._force = force
        self._draw = draw
        self._told = False

    @property
    def active(self) -> bool:
        """Whether it may write files."""
        return self._keep or self._draw

    def save(self, prediction: Prediction, parts: tuple[Given, ...], position: int) -> list[Path]:
        """Save one good prediction's media, and tell where on stderr.

        Returns:
            The files written.

        Raises:
            InputError: a file is there already (without `force`), or the input cannot be drawn on.
            OSError: the folder or a file cannot be written.
        """
        stem = f"{position:06d}-{slug(parts[0].name if parts else prediction.input_id)}"
        written = []
        for suffix, kind, data in self._contents(prediction, parts):
            path = self._folder / f"{stem}{suffix}.{kind}"
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(path, data, self._force)
            say(f"saved {path} ({in_bytes(len(data))})")
            written.append(path)
        return written

    def saved(self, prediction: Prediction, parts: tuple[Given, ...], position: int, *, alone: bool = False) -> bool:
        """Save as `save` does, show a drawing where the terminal can; a failure is told, and given as False.

        Args:
            alone: whether there is no other input that a message could mean.
        """
        if not self._keep and not self._told and (prediction.image or prediction.audio) and is_terminal(sys.stderr):
            self._told = True
            say("--save DIR keeps it")
        try:
            for path in self.save(prediction, parts, position):
                if path.stem.endswith("-boxes"):
                    picture.show(path.read_bytes())
        except (HeadraceError, OSError) as error:
            warn_input("" if alone or not parts else parts[0].name, error)
            return False
        return True

    def _contents(self, prediction: Prediction, parts: tuple[Given, ...]) -> Iterator[tuple[str, str, bytes]]:
        """Give what is to be written: the end of its name, its extension, its bytes."""
        if self._keep:
            if image := prediction.image:
                yield "", extension(image), image
            if audio := prediction.audio:
                yield "-sound" if image else "", extension(audio), audio
            for n, region in enumerate(prediction.regions):
                if region.mask:
                    yield f"-mask-{n:02d}-{slug(region.name)}", extension(region.mask), region.mask
            if prediction.text:
                yield "", "txt", prediction.text.encode(errors="backslashreplace")
        if self._draw and prediction.regions:
            yield "-boxes", "png", _drawn(prediction, parts)


def _drawn(prediction: Prediction, parts: tuple[Given, ...]) -> bytes:
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
        raise InputError(f"{path} is there already; --force overwrites it") from None


def slug(name: str) -> str:
    """Make a name that is safe in every file system: letters, digits and dashes of its last part, without extension."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    stem = last.rpartition(".")[0] or last
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_CHARACTERS].strip("-") or "result"
