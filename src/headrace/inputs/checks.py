"""Local checks of inputs against the limits, so that inputs that a server would refuse are not sent."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, cast

from headrace import media
from headrace.config import Limits
from headrace.errors import InputError
from headrace.inputs.prepared import Prepared
from headrace.inputs.value import Input, name_of
from headrace.types import Buffer


def prepare_now(item: Input, ids: Iterator[str], limits: Limits) -> Prepared | None:
    """Give an input an id if it has none, and check it; None if it has to be looked up, read or encoded first.

    Raises:
        InputError: empty, or over a limit.
    """
    id = item.id or next(ids)
    if len(item.fields) == 1 and item.raw is None:
        type_, form, payload = item.fields[0]
        small = form == "bytes" and 0 < (size := len(payload)) < _SMALL_IMAGE
        if small and limits.request_bytes >= size <= limits.input_bytes.get(type_, 0):
            if type_ == "text" and not (type(payload) is bytes and payload.isascii()):
                check_text(item.with_id(id), payload)
            return Prepared(item, id, size)  # the usual case: nothing else could be wrong
    if not item.typed or not is_ready(item) or pillow_wanted(item):
        return None
    if not item.id:
        item = item.with_id(id)
    check(item, limits)
    return Prepared(item, id)


def longest_text(limits: Limits) -> int:
    """Return how long an ASCII text may be that needs no other check: it is sent as a `PreparedText`."""
    return min(limits.request_bytes, limits.input_bytes.get("text", 0))


def is_ready(item: Input) -> bool:
    """Whether an input can be sent without reading or encoding anything first."""
    for field in item.fields:  # noqa: SIM110 - asked of many inputs, and all() costs four times as much
        if not field.ready:
            return False
    return True


def check(item: Input, limits: Limits) -> None:
    """Check an input that is in memory against the limits.

    Raises:
        InputError: empty, or over a limit (a request's included); the message has the limit, the size and the id.
    """
    if item.size_bytes > limits.request_bytes:
        raise InputError(
            f"{name_of(item)} has {item.size_bytes:,} bytes; the limit for a request is {limits.request_bytes:,}",
            input_id=item.id or None,
        )
    for field in item.fields:
        if field.form != "bytes":
            continue
        if not field.size:
            raise InputError(f"{name_of(item)}: the {field.type or 'input'} is empty", input_id=item.id or None)
        limit = limits.input_bytes.get(field.type)
        if limit is not None and field.size > limit:
            raise InputError(
                f"{name_of(item)}: the {field.type} has {field.size:,} bytes; the limit is {limit:,}",
                input_id=item.id or None,
            )
        if field.type == "text" and not (isinstance(field.payload, bytes) and field.payload.isascii()):
            check_text(item, field.payload)
        if field.type == "image" and field.size >= _SMALL_IMAGE:
            pixels = _pixels(field.payload)
            if pixels > limits.image_pixels:
                raise InputError(
                    f"{name_of(item)}: the image has {_shown(pixels)} pixels; the limit is {limits.image_pixels:,}",
                    input_id=item.id or None,
                )


def check_text(item: Input, payload: Buffer) -> None:
    """Check that a text's bytes are UTF-8: a server refuses the whole request otherwise.

    Raises:
        InputError: they are not UTF-8.
    """
    try:
        str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name_of(item)}: the text is not UTF-8 (byte {error.object[error.start]:#04x} at {error.start:,}); "
            "decode it with its own encoding and send a str",
            input_id=item.id or None,
        ) from None


def _shown(pixels: int) -> str:
    return "far more" if pixels == sys.maxsize else f"{pixels:,}"


def pillow_wanted(item: Input) -> bool:
    """Whether Pillow is to be imported before an input can be checked."""
    if "PIL.Image" in sys.modules:
        return False
    return any(f.type == "image" and f.form == "bytes" and _pillows(f.payload) for f in item.fields)


def _pillows(data: Buffer) -> bool:
    """Whether a picture's size can be read only with Pillow: a known format whose header is not parsed here."""
    return len(data) >= _SMALL_IMAGE and media.extension(data[:64]) in ("bmp", "tif", "webp", "avif")


_SMALL_IMAGE = 4096  # smaller pictures cannot be over the limit


def _pixels(data: Buffer) -> int:
    """Count a picture's pixels from its header; 0 if its format isn't known, or Pillow would have to be there."""
    if (dimensions := media.dimensions(data)) is not None:
        return dimensions[0] * dimensions[1]
    if "PIL.Image" not in sys.modules or not _pillows(data):
        return 0
    import io
    import warnings

    from PIL import Image

    from headrace.inputs.reading import View
    from headrace.media.pictures import formats

    file = io.BytesIO(data) if isinstance(data, bytes) else cast("BinaryIO", View(data))  # neither copies it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=formats()) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return sys.maxsize
    except Exception:  # the server refuses unreadable pictures
        return 0


def split(items: Sequence[Prepared], limits: Limits, sizes: Iterable[int], request_bytes: int) -> list[list[int]]:
    """Split a list into requests within the limits: indexes, in order, by count, bytes and videos."""
    groups: list[list[int]] = []
    room_bytes = room_videos = 0
    for position, (item, size) in enumerate(zip(items, sizes, strict=True)):
        videos = sum(field.type == "video" for field in item.input.fields)
        fits = (
            groups
            and len(groups[-1]) < limits.inputs_per_request
            and size <= room_bytes
            and (videos <= room_videos or not videos)
        )
        if not fits:
            groups.append([])
            room_bytes, room_videos = request_bytes, limits.videos_per_request
        groups[-1].append(position)
        room_bytes -= size
        room_videos -= videos
    return groups
