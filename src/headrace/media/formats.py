"""What an encoded picture, sound or film is, by its first bytes or its name; without Pillow."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from headrace.types import Buffer

PICTURES = frozenset(("png", "jpg", "gif", "bmp", "tif", "webp"))
SOUNDS = frozenset(("wav", "mp3", "flac", "ogg"))
_SAME = {"jpeg": "jpg", "tiff": "tif"}

#: First bytes of a file that `format_of` wants to see.
HEAD_BYTES = 512

#: What a file or an input is; the names of the protocol's input types.
Kind: TypeAlias = Literal["image", "video", "audio", "text"]


class Format(NamedTuple):
    """A file format: what people call it, what it holds, and the extension of its files."""

    name: str
    kind: Kind
    extension: str


#: A file name's extension -> the kind of thing that is in the file.
EXTENSIONS: dict[str, Kind] = {
    **dict.fromkeys(("jpg", "jpeg", "png", "gif", "bmp", "webp", "tif", "tiff"), "image"),
    **dict.fromkeys(("heic", "heif", "avif", "jp2", "jxl", "psd"), "image"),
    **dict.fromkeys(("mp4", "mov", "avi", "wmv", "3gp", "3gpp", "mkv", "webm", "m4v"), "video"),
    **dict.fromkeys(("mpg", "mpeg", "flv", "ivf"), "video"),
    **dict.fromkeys(("wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "m4b", "aac", "aif", "aiff", "amr"), "audio"),
    **dict.fromkeys(("txt", "md", "rst", "csv", "json", "html"), "text"),
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", Format("PNG", "image", "png")),
    (b"\xff\xd8\xff", Format("JPEG", "image", "jpg")),
    (b"GIF87a", Format("GIF", "image", "gif")),
    (b"GIF89a", Format("GIF", "image", "gif")),
    (b"II*\0", Format("TIFF", "image", "tif")),
    (b"MM\0*", Format("TIFF", "image", "tif")),
    (b"II+\0", Format("BigTIFF", "image", "tif")),
    (b"MM\0+", Format("BigTIFF", "image", "tif")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Format("JPEG 2000", "image", "jp2")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Format("JPEG XL", "image", "jxl")),
    (b"\xff\x0a", Format("JPEG XL", "image", "jxl")),
    (b"8BPS\0\x01", Format("PSD", "image", "psd")),
    (b"fLaC", Format("FLAC", "audio", "flac")),
    (b"ID3", Format("MP3", "audio", "mp3")),
    (b"#!AMR", Format("AMR", "audio", "amr")),
    (b"\x1a\x45\xdf\xa3", Format("Matroska or WebM", "video", "mkv")),
    (bytes.fromhex("3026b2758e66cf11"), Format("WMV", "video", "wmv")),
    (b"FLV\x01", Format("FLV", "video", "flv")),
    (b"DKIF", Format("IVF", "video", "ivf")),
    (b"\0\0\x01\xba", Format("MPEG", "video", "mpg")),
    (b"\0\0\x01\xb3", Format("MPEG", "video", "mpg")),
    (b"\xff\xfe", Format("UTF-16 text", "text", "txt")),
    (b"\xfe\xff", Format("UTF-16 text", "text", "txt")),
)
_RIFF = {
    b"WEBP": Format("WebP", "image", "webp"),
    b"WAVE": Format("WAV", "audio", "wav"),
    b"AVI ": Format("AVI", "video", "avi"),
}
_HEIC, _AVIF = Format("HEIC", "image", "heic"), Format("AVIF", "image", "avif")
_M4A, _MP4 = Format("M4A", "audio", "m4a"), Format("MP4", "video", "mp4")
_MP3, _AAC = Format("MP3", "audio", "mp3"), Format("AAC", "audio", "aac")
#: Brands of files that begin with `ftyp`; the others are films. Source: the registry of MP4RA.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), _HEIC),
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), _M4A),
    b"crx ": Format("CR3", "image", "cr3"),
    b"qt  ": Format("QuickTime", "video", "mov"),
}
_ANY_PICTURE = (b"mif1", b"mif2", b"msf1", b"miaf")  # brands that leave the codec to the compatible ones


def format_of(data: Buffer) -> Format | None:
    """Detect a file's format by its first bytes (`HEAD_BYTES` are enough), None if they show none."""
    head = bytes(data[:HEAD_BYTES])
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return Format("AIFF", "audio", "aiff")
    if head.startswith(b"BM") and len(head) > 14 and head[6:10] == b"\0\0\0\0":
        return Format("BMP", "image", "bmp")
    if head.startswith(b"OggS"):
        return Format("Ogg", "video" if head[28:35] == b"\x80theora" else "audio", "ogg")
    if head[:1] == b"G" and head[188:189] == head[376:377] == b"G":
        return Format("MPEG-TS", "video", "ts")
    if (boxes := _boxes(head)) is not None:
        return boxes
    if (sound := _sound_frame(head)) is not None:
        return sound
    return next((format for magic, format in _MAGIC if head.startswith(magic)), None)


def _boxes(head: bytes) -> Format | None:
    """Distinguish the files of boxes (MP4 and its family) by their brand, those of old QuickTime by their first box."""
    box = head[4:8]
    if box == b"ftyp" and head[0] == 0:
        brand, length = head[8:12], int.from_bytes(head[:4])
        if brand in _ANY_PICTURE:
            compatible = [head[at : at + 4] for at in range(16, min(length, len(head)), 4)]
            return next((_BRANDS[name] for name in compatible if _BRANDS.get(name) in (_AVIF, _HEIC)), _HEIC)
        return _BRANDS.get(brand, _MP4)
    if head[:1] < b" " and box in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):  # a size, no letter
        return _BRANDS[b"qt  "]
    return None


def _sound_frame(head: bytes) -> Format | None:
    """Recognise the header of an MPEG sound's frame. Source: ISO/IEC 11172-3 (2.4.1.3), 13818-7 (6.2, ADTS)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
    if head[1] & 0xF6 == 0xF0:  # layer 0 is AAC
        return _AAC if head[2] >> 2 & 15 < 13 else None
    if version == 1 or layer not in (1, 2) or head[2] >> 4 in (0, 15) or rate == 3:  # UTF-16's mark would be layer 1
        return None
    return _MP3


def kind(data: Buffer) -> Kind | None:
    """Return what a file holds by its first bytes, None if they don't show it (as those of most texts)."""
    format_ = format_of(data)
    return format_.kind if format_ is not None else None


def kind_of_name(name: str) -> Kind | None:
    """Return what a file holds by its name's extension, None if that isn't known."""
    stem, dot, suffix = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    return EXTENSIONS.get(suffix.lower()) if dot and stem else None


def extension(data: Buffer) -> str:
    """Return the file extension that the first bytes ask for, "bin" when they are of no known kind."""
    format_ = format_of(data)
    return format_.extension if format_ is not None else "bin"


def dimensions(data: Buffer) -> tuple[int, int] | None:
    """Read the width and height of a PNG, JPEG or GIF from its header; None of anything else.

    Pillow takes fifty microseconds for it, and hundreds to find that bytes are of no kind it knows. Source: PNG (IHDR
    comes first), GIF89a (logical screen), ITU-T T.81 (frame header: marker, length, precision, lines, samples).
    """
    start = bytes(data[:24])
    if start.startswith(b"\x89PNG\r\n\x1a\n") and len(start) == 24:
        return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])
    if start.startswith(b"GIF8") and len(start) >= 10:
        return int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")
    if not start.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    for _ in range(1000):  # segments; some pictures carry megabytes of them
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # those are tables and extensions
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def extension_of_path(suffix: str) -> str:
    """Return a file name's suffix the way `extension` writes it: ".JPEG" is "jpg"."""
    name = suffix.lower().removeprefix(".")
    return _SAME.get(name, name)
