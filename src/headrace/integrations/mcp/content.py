"""Predictions as the content of a tool's result: text, pictures and sounds, and the same as JSON."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import mcp.types as types

from headrace import media
from headrace.errors import HeadraceError
from headrace.methods import plain
from headrace.methods.signatures import Method
from headrace.results import Concept, Prediction, Region
from headrace.results.saving import encode

MAX_TEXT = 200_000  # characters
MAX_PICTURE = 1 << 20  # bytes; larger ones are made smaller
MAX_SOUND = 8 << 20
MAX_THINGS = 200  # concepts, regions and frames that are listed
MAX_NUMBERS = 4096  # of a vector
_SIDES = (1568, 1024, 512)  # of a picture that is too large, tried in turn
_MIME = {"jpg": "image/jpeg", "tif": "image/tiff", "mp3": "audio/mpeg"}
_FOR_PEOPLE = types.Annotations(audience=["user"])


@dataclass
class Result:
    """What a tool gives back, as it is put together."""

    blocks: list[types.ContentBlock] = field(default_factory=list)
    structured: dict[str, Any] = field(default_factory=dict)

    def text(self, text: str) -> None:
        """Add text, cut off where it is too long."""
        if len(text) > MAX_TEXT:
            text = f"{text[:MAX_TEXT]}\n(cut off: it has {len(text):,} characters)"
        self.blocks.append(types.TextContent(text=text.encode(errors="replace").decode()))

    def picture(self, data: bytes, *, for_people: bool = False) -> None:
        """Add a picture, made smaller where it is too large; where that cannot be done, a line says so."""
        small = data if len(data) <= MAX_PICTURE and media.extension(data) in ("png", "jpg", "gif", "webp") else None
        small = small or _smaller(data)
        if small is None:
            self.text(f"(a {media.extension(data)} picture of {len(data):,} bytes, which is too large to show)")
            return
        block = types.ImageContent(data=_base64(small), mime_type=_mime("image", small))
        block.annotations = _FOR_PEOPLE if for_people else None
        self.blocks.append(block)

    def sound(self, data: bytes) -> None:
        """Add a sound."""
        if len(data) > MAX_SOUND:
            self.text(f"(a {media.extension(data)} sound of {len(data):,} bytes, which is too large to send)")
        else:
            self.blocks.append(types.AudioContent(data=_base64(data), mime_type=_mime("audio", data)))

    def done(self) -> types.CallToolResult:
        """Give it in MCP's form."""
        if not self.blocks:
            self.text("The model found nothing.")
        return types.CallToolResult(content=self.blocks, structured_content=self.structured or None)


def add(result: Result, prediction: Prediction, method: Method | None, picture: bytes | None) -> None:
    """Add what a prediction says.

    Args:
        method: whose answer it is.
        picture: the one that was sent, where it is at hand: boxes and masks are drawn on it.

    Raises:
        HeadraceError: the input's error, or an answer that cannot be read.
    """
    shown = prediction if method is None else plain.answer(method, prediction)
    before = len(result.blocks)
    if shown.concepts:
        result.structured["concepts"] = [_concept(one) for one in shown.concepts[:MAX_THINGS]]
        result.text(_lines((f"{one.name} {one.value:.4f}" for one in shown.concepts), len(shown.concepts)))
    if shown.regions:
        _add_regions(result, shown.regions, picture)
    if shown.frames:
        lines = (f"{frame.time:.2f} s: {_seen([*frame.concepts, *frame.regions])}" for frame in shown.frames)
        result.text(_lines(lines, len(shown.frames)))
    if shown.text:
        result.structured["text"] = shown.text[:MAX_TEXT]
        result.text(shown.text)
    if len(shown.embedding):
        numbers = list(shown.embedding)
        result.structured["embedding"] = numbers[:MAX_NUMBERS]
        result.text(f"a vector of {len(numbers)} numbers: {', '.join(f'{number:.4f}' for number in numbers[:6])}, ...")
    if shown.image:
        result.picture(shown.image)
    if shown.audio:
        result.sound(shown.audio)
    if len(result.blocks) == before and method is not None:
        _add_value(result, method.decode(prediction.data))


def _add_regions(result: Result, regions: Sequence[Region], picture: bytes | None) -> None:
    result.structured["regions"] = [_region(one) for one in regions[:MAX_THINGS]]
    result.text(_lines(map(_region_line, regions), len(regions)))
    try:
        drawn = _drawn(regions, picture)
    except (HeadraceError, ValueError, OSError):  # the answer is complete without it
        drawn = None
    if drawn is not None:
        result.picture(drawn, for_people=True)


def _drawn(regions: Sequence[Region], picture: bytes | None) -> bytes | None:
    """Draw boxes and masks on the picture that was sent; without it, masks alone."""
    from headrace import draw

    if picture is not None:
        return draw.draw_on_bytes(picture, regions, form="JPEG")
    masked = [region for region in regions if region.mask]
    return encode(draw.coloured_masks(masked), "png") if masked else None


def _add_value(result: Result, value: Any) -> None:
    """Add a value of no kind that models have in common: as JSON."""
    if value is None or value == "":
        return
    if isinstance(value, bytes):
        kind = media.kind(value)
        if kind == "image":
            result.picture(value)
        elif kind == "audio":
            result.sound(value)
        else:
            result.text(f"(bytes: {len(value):,} of them)")
        return
    ready = plain.jsonable(value)
    text = json.dumps(ready, ensure_ascii=False, default=str)
    if len(text) <= MAX_TEXT:
        result.structured["value"] = json.loads(text)
    result.text(text)


def _region_line(region: Region) -> str:
    place = ", ".join(f"{edge} {value:.3f}" for edge, value in region.box._asdict().items()) if any(region.box) else ""
    said = f"says {region.text!r}" if region.name and region.text else ""
    head = f"{region.name or region.text or 'region'} {region.value:.4f}"
    return ": ".join([head, *filter(None, [", ".join(filter(None, [place, said]))])])


def _concept(concept: Concept) -> dict[str, Any]:
    return {"name": concept.name, "value": concept.value}


def _region(region: Region) -> dict[str, Any]:
    more = {"text": region.text, "track_id": region.track_id}
    return {"name": region.name, "value": region.value, **region.box._asdict(), **{k: v for k, v in more.items() if v}}


def _seen(things: Iterable[Concept | Region]) -> str:
    return ", ".join(f"{one.name} {one.value:.2f}" for one in list(things)[:20]) or "nothing"


def _lines(lines: Iterator[str], count: int) -> str:
    shown = [line for line, _ in zip(lines, range(MAX_THINGS), strict=False)]
    return "\n".join([*shown, *([f"... and {count - MAX_THINGS} more"] if count > MAX_THINGS else [])])


def _smaller(data: bytes) -> bytes | None:
    """Encode a picture so that it is small enough; None where Pillow is missing or cannot."""
    try:
        picture = media.decode(data)
        for side in _SIDES:
            picture.thumbnail((side, side))
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=85)
            if buffer.tell() <= MAX_PICTURE:
                return buffer.getvalue()
    except (HeadraceError, ValueError, OSError):
        pass
    return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _mime(kind: str, data: bytes) -> str:
    extension = media.extension(data)
    return _MIME.get(extension, f"{kind}/{extension}")
