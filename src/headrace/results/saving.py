"""`Prediction.save`: which part of an answer is written to a file, and in which format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from headrace import media
from headrace.errors import ConfigError
from headrace.support.files import placed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

    from headrace.results.prediction import Prediction

_EXPORTS = ("json", "jsonl", "csv", "parquet", "arrow", "feather")
_PIL_NAMES = {"jpg": "JPEG", "tif": "TIFF"}


def save(prediction: Prediction, path: Path) -> Path:
    """Write a prediction as `Prediction.save` says."""
    wanted = media.extension_of_path(path.suffix)
    if wanted in _EXPORTS:
        return _export(prediction, path, wanted)
    if len(prediction.outputs) > 1:
        raise ConfigError(
            f"this prediction holds the answers to {len(prediction)} inputs: save each (p[i].save(...)), or all "
            "as .json, .csv or .parquet"
        )
    parts = list(_parts(prediction))
    chosen = _choose(wanted, [extension for extension, _ in parts])
    if chosen is None:
        return _export(prediction, path if wanted else path.with_name(f"{path.name}.json"), "json")
    extension, data = parts[chosen]
    if not wanted:
        path = path.with_name(f"{path.name}.{extension}")
    elif wanted != extension and wanted in media.PICTURES:
        data = _converted(data, wanted)
    with placed(path) as fresh:
        fresh.write_bytes(data)
    return path


def _parts(prediction: Prediction) -> Iterator[tuple[str, bytes]]:
    """Yield the parts that a file can hold, the most important first: extension and bytes."""
    for medium in (prediction.image, prediction.audio):
        if medium:
            yield media.extension(medium), medium
    masked = [region for region in prediction.regions if region.mask]
    if len(masked) == 1:
        mask = masked[0].mask or b""
        yield media.extension(mask), mask
    elif masked:
        from headrace.draw import coloured_masks

        yield "png", encode(coloured_masks(masked), "png")
    if prediction.text:
        yield "txt", prediction.text.encode(errors="backslashreplace")


def _choose(wanted: str, extensions: list[str]) -> int | None:
    """Choose a part: of the wanted extension, else of its kind, else the first if none is asked for.

    Raises:
        ConfigError: nothing of that kind.
    """
    for kind in (media.PICTURES, media.SOUNDS, frozenset(("txt",))):
        if wanted in kind:
            fitting = [n for n, extension in enumerate(extensions) if extension in kind]
            if not fitting or (kind is media.SOUNDS and extensions[fitting[0]] != wanted):
                choices = ", ".join(f".{extension}" for extension in extensions) or "only what .json holds"
                raise ConfigError(f"the answer cannot be saved as .{wanted}; it has {choices}")
            return fitting[0]
    return 0 if extensions else None


def _export(prediction: Prediction, path: Path, form: str) -> Path:
    from headrace import export

    if form in ("parquet", "arrow", "feather"):
        from headrace.tables.writer import TableWriter

        writer = TableWriter(path)
        with writer.whole():
            writer.write(prediction)
        return path
    {"json": export.to_json, "jsonl": export.to_jsonl, "csv": export.to_csv}[form](prediction, path)
    return path


def _converted(data: bytes, extension: str) -> bytes:
    try:
        return encode(media.decode(data), extension)
    except media.BadPicture as error:
        raise ConfigError(f"the answer's picture cannot be converted to .{extension}: {error}") from error


def encode(picture: Image.Image, extension: str) -> bytes:
    """Encode a PIL picture in the format of a file extension."""
    if extension == "jpg" and picture.mode not in ("RGB", "L"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    settings = {"quality": 92} if extension == "jpg" else {}
    picture.save(buffer, _PIL_NAMES.get(extension, extension.upper()), **settings)
    return buffer.getvalue()
