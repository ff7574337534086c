"""Showing a decoded frame as a player does: upright, not mirrored, in its shape, without cover pictures.

The client's sources and the embedded server both use it, so that a model sees the same either way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_ODD_ASPECT = 8  # a higher ratio means a damaged header


def aspect_of(stream: Any) -> Fraction:
    """Return the pixel aspect ratio of a video stream; 1 if the file does not say."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return aspect if Fraction(1, _ODD_ASPECT) <= aspect <= _ODD_ASPECT else Fraction(1)


def image(frame: Any, aspect: Fraction, resize: int | tuple[int, int] | None = None) -> Image:
    """Turn a decoded frame into a picture (RGB) as it is shown.

    Args:
        aspect: of `aspect_of`.
        resize: the longest side, or (width, height); smaller ones are not made larger by the first.

    Raises:
        ImportError: Pillow isn't installed.
    """
    turn, crosswise = _turn(frame)
    width, height = max(1, round(frame.width * aspect)), frame.height
    if crosswise:
        width, height = height, width
    if isinstance(resize, tuple):
        width, height = resize
    elif resize is not None:
        shrink = min(1.0, resize / max(width, height))
        width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    if crosswise:
        width, height = height, width
    picture: Image = frame.to_image(width=width, height=height)
    return picture if turn is None else picture.transpose(turn)


def _turn(frame: Any) -> tuple[Any, bool]:
    """Read the display matrix: how Pillow is to turn the picture, and whether that swaps its sides.

    Source: ISO/IEC 14496-12 (6.2.2): a point (x, y) is shown at (a x + c y, b x + d y), y pointing down.
    """
    from av.sidedata.sidedata import Type
    from PIL.Image import Transpose

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        straight = {(True, False): Transpose.FLIP_LEFT_RIGHT, (False, True): Transpose.FLIP_TOP_BOTTOM}
        return {(True, True): Transpose.ROTATE_180, **straight}.get((a < 0, d < 0)), False
    turns = {
        (False, False): Transpose.TRANSPOSE,
        (True, True): Transpose.TRANSVERSE,
        (False, True): Transpose.ROTATE_270,
        (True, False): Transpose.ROTATE_90,
    }
    return turns[b < 0, c < 0], True


def films(container: Any) -> list[Any]:
    """Return the video streams of a container that are films, not the picture on a record's sleeve."""
    from av.stream import Disposition

    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def pictures(packet: Any) -> Iterator[Any]:
    """Decode a packet.

    Raises:
        BrokenPacket: it is damaged; the following ones may be fine.
    """
    import av

    try:
        yield from packet.decode()
    except av.FFmpegError as error:  # invalid data of most decoders, an invalid argument of some
        raise BrokenPacket(str(error)) from error


class BrokenPacket(Exception):
    """A packet that cannot be decoded."""
