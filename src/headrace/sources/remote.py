"""Why a film at an address cannot be opened, if FFmpeg only says that reading failed."""

from __future__ import annotations

import base64
import urllib.request
from urllib.parse import unquote, urlsplit

HEAD_BYTES = 64 << 10


def index_is_out_of_reach(address: str, timeout: float) -> bool:
    """Return whether an MP4 or MOV file has its index at the end, and its server gives no part of a file. Blocking."""
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("http", "https"):
        return False
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    request = urllib.request.Request(plain, headers={"Range": f"bytes=0-{HEAD_BYTES - 1}"})
    if parts.username is not None:
        account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(account.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status == 200 and _media_before_index(answer.read(HEAD_BYTES))
    except (OSError, ValueError):  # unreachable, or not an address: another reason
        return False


def _media_before_index(head: bytes) -> bool:
    """Look which box comes first: "moov" (the index) or "mdat" (the media). Source: ISO/IEC 14496-12, 4.2."""
    at = 0
    while at + 16 <= len(head):
        size, name = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if name in (b"moov", b"mdat"):
            return name == b"mdat"
        if size == 1:
            size = int.from_bytes(head[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return False
