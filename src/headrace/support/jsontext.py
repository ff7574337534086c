"""Writing JSON that always parses, is exact, and can be encoded."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def dumps(value: Any, *, indent: int | None = None, encoding: str | None = "utf-8") -> str:
    """Write a value as JSON.

    What does not print (lone surrogates, control characters) is escaped, so is everything that `encoding` lacks.
    NaN and infinity, which JSON does not have, are the texts that protobuf makes of them.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=str)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=str)
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if c == "\n" or not _hidden(c) else _code(c) for c in text)
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=str)
    return text


def _hidden(c: str) -> bool:
    return unicodedata.category(c) in _HIDDEN


def _code(c: str) -> str:
    return json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
