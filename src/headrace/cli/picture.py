"""Pictures in terminals that can show them: kitty's protocol, iTerm2's, sixel.

Sources: the kitty graphics protocol (APC G, PNG as base64 in chunks), iTerm2's inline images (OSC 1337), DEC sixel
(DCS q; six rows of pixels a character).
"""

from __future__ import annotations

import base64
import io
import os
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headrace import media
from headrace.cli.terminal import is_terminal
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

Protocol: TypeAlias = Literal["kitty", "iterm2", "sixel"]
COLUMNS = 60  # maximum columns and lines of a picture
_PIXELS = 480  # maximum width and height in pixels: a cell is about 8 pixels wide
_CHUNK = 4096  # characters of base64 in one kitty escape
_COLOURS = 128


def protocol(env: Mapping[str, str] | None = None) -> Protocol | None:
    """Return how the terminal takes pictures, going by the environment; None if it doesn't, or through tmux and screen.

    `HEADRACE_PICTURES` overrules: kitty, iterm2, sixel, or anything else for none.
    """
    env = os.environ if env is None else env
    chosen = env.get("HEADRACE_PICTURES")
    if chosen is not None:
        return cast("Protocol", chosen) if chosen in ("kitty", "iterm2", "sixel") else None
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "")
    if "TMUX" in env or term.startswith(("screen", "tmux")):
        return None
    if "KITTY_WINDOW_ID" in env or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or env.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if term.startswith(("foot", "mlterm", "contour", "yaft")):
        return "sixel"
    return None


def show(data: bytes) -> bool:
    """Show an encoded picture on stdout if the terminal can; return whether it was shown."""
    how = protocol() if is_terminal(sys.stdout) else None
    if how is None:
        return False
    text = escape_codes(data, how)
    if text:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    return bool(text)


def escape_codes(data: bytes, how: Protocol) -> str:
    """Make the escape codes of a picture, scaled down to fit; "" if it cannot be decoded.

    It is decoded and encoded again, so that nothing of the server's own bytes reaches the terminal.
    """
    picture = _small(data)
    if picture is None:
        return ""
    if how == "sixel":
        return sixel(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    columns = min(COLUMNS, max(1, picture.width // 8))
    if how == "iterm2":
        size = len(buffer.getvalue())
        return f"\x1b]1337;File=inline=1;size={size};width={columns};preserveAspectRatio=1:{text}\x07"
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    first, last = f"a=T,f=100,q=2,c={columns},", len(chunks) - 1
    return "".join(
        f"\x1b_G{first if n == 0 else ''}m={0 if n == last else 1};{chunk}\x1b\\" for n, chunk in enumerate(chunks)
    )


def sixel(picture: Image.Image) -> str:
    """Encode a picture as sixels: bands of six rows, one pass a colour, runs shortened."""
    reduced = picture.convert("RGB").quantize(_COLOURS)
    width, height = reduced.size
    colours = reduced.getpalette() or []
    pixels = reduced.tobytes()
    used = sorted(set(pixels))
    out = [f'\x1bP0;1q"1;1;{width};{height}']
    for colour in used:
        red, green, blue = (round(value * 100 / 255) for value in colours[3 * colour : 3 * colour + 3])
        out.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        rows = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        bands = []
        for colour in sorted(set(b"".join(rows))):
            bits = [sum((row[x] == colour) << n for n, row in enumerate(rows)) for x in range(width)]
            bands.append(f"#{colour}{_runs(bits)}")
        out.append("$".join(bands) + "-")
    return "".join(out) + "\x1b\\"


def _runs(bits: list[int]) -> str:
    out: list[str] = []
    start = 0
    for end in range(1, len(bits) + 1):
        if end == len(bits) or bits[end] != bits[start]:
            count, character = end - start, chr(63 + bits[start])
            out.append(character * count if count < 4 else f"!{count}{character}")
            start = end
    return "".join(out)


def _small(data: bytes) -> Image.Image | None:
    try:
        image_ops = media.require("PIL.ImageOps", "pictures")
        picture: Image.Image = image_ops.exif_transpose(media.decode(data)).convert("RGB")
    except (media.BadPicture, ConfigError):  # not a picture, or Pillow is missing
        return None
    picture.thumbnail((_PIXELS, _PIXELS))
    return picture
