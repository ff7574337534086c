"""`--save DIR` and `--draw`: pictures, masks and sounds as files inside DIR, never elsewhere."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.run import say
from headrace.cli.terminal import in_bytes
from headrace.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import Prediction
    from headrace.cli.given import Given

_SLUG_CHARACTERS = 48


class Saver:
    """Writes what a prediction holds as `{position:06d}-{slug}.{extension}` into a folder, made when first needed.

    Args:
        folder: where to; None: the current folder, for drawings only.
        force: overwrite what is there.
        draw: also draw boxes on the input's picture.
    """

    def __init__(self, folder: Path | None, *, force: bool = False, draw: bool = False) -> None:
        self._folder = folder or Path()
        self._keep = folder is not None
        self._force = force
        self._draw = draw

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
        for suffix, data in self._contents(prediction, parts):
            path = self._folder / f"{stem}{suffix}.{extension(data)}"
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(path, data, self._force)
            say(f"saved {path} ({in_bytes(len(data))})")
            written.append(path)
        return written

    def _contents(self, prediction: Prediction, parts: tuple[Given, ...]) -> Iterator[tuple[str, bytes]]:
        if self._keep:
            if prediction.image:
                yield "", prediction.image
            if prediction.audio:
                yield "-sound" if prediction.image else "", prediction.audio
            masks = [(n, region) for n, region in enumerate(prediction.regions) if region.mask]
            for n, region in masks:
                yield f"-mask-{n:02d}-{slug(region.name)}", region.mask or b""
        if self._draw and prediction.regions:
            yield "-boxes", _drawn(prediction, parts)


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
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}") if force else path
    try:
        with fresh.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise InputError(f"{path} is there already; --force overwrites it") from None
    if force:
        os.replace(fresh, path)


def slug(name: str) -> str:
    """Make a name that is safe in every file system: letters, digits and dashes of its last part, without extension."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    stem = last.rpartition(".")[0] or last
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_CHARACTERS].strip("-") or "result"


def extension(data: bytes) -> str:
    """Give the file extension that the first bytes ask for, "bin" when they are of no known kind."""
    known = (
        (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF8", "gif"), (b"BM", "bmp"),
        (b"II*\0", "tif"), (b"MM\0*", "tif"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"),
    )  # fmt: skip
    if data.startswith(b"RIFF"):
        return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(data[8:12], "bin")
    if data[4:8] == b"ftyp":
        return "mp4"
    return next((name for magic, name in known if data.startswith(magic)), "bin")
