"""Encoded pictures, sounds and films: their formats, and decoding pictures within a limit of pixels."""

from headrace.media.decoding import decode, decode_mask, require, size
from headrace.media.formats import (
    EXTENSIONS,
    HEAD_BYTES,
    PICTURES,
    SOUNDS,
    Format,
    Kind,
    dimensions,
    extension,
    extension_of_path,
    format_of,
    kind,
    kind_of_name,
)
from headrace.media.pictures import MAX_PIXELS, BadPicture

__all__ = [
    "EXTENSIONS",
    "HEAD_BYTES",
    "MAX_PIXELS",
    "PICTURES",
    "SOUNDS",
    "BadPicture",
    "Format",
    "Kind",
    "decode",
    "decode_mask",
    "dimensions",
    "extension",
    "extension_of_path",
    "format_of",
    "kind",
    "kind_of_name",
    "require",
    "size",
]
