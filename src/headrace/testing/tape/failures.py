"""Errors of a transport as JSON, and back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from headrace import errors
from headrace.errors import HeadraceError, ServerError, StatusDetail, TransportError

TARGET = "{target}"  # where the server's address stood: each run has its own
_FACTS: dict[type[HeadraceError], dict[str, Any]] = {
    cls: {name: value for name, value in vars(cls("")).items() if name not in ("attempt", "target", "input_id")}
    for cls in (TransportError, ServerError)
}


def to_plain(
    error: HeadraceError, target: str, text: Callable[[str], str], data: Callable[[bytes], bytes]
) -> dict[str, Any]:
    """Write an error down: its class, its message, and what it tells besides.

    Args:
        text: what happens to each text, `data`: to each byte string.
    """

    def whole(value: Any) -> Any:
        if isinstance(value, str):
            return text(value.replace(target, TARGET)) if target else text(value)
        return value

    plain = {"error": type(error).__name__, "message": whole(str(error))}
    for name, default in _facts(type(error)).items():
        value = getattr(error, name)
        if name == "status_details":
            value = [[whole(url), base64.b64encode(data(detail)).decode()] for url, detail in value]
        if value != default and value != []:
            plain[name] = whole(value)
    return plain


def from_plain(plain: dict[str, Any], target: str, text: Callable[[str], str]) -> HeadraceError:
    """Make an error that was written down.

    Raises:
        ValueError: it is none.
    """
    cls = getattr(errors, str(plain.get("error")), None)
    if not (isinstance(cls, type) and issubclass(cls, HeadraceError)):
        raise ValueError(f"headrace has no error {plain.get('error')!r}")
    facts: dict[str, Any] = {}
    for name in _facts(cls):
        if name in plain:
            value = plain[name]
            facts[name] = text(value.replace(TARGET, target)) if isinstance(value, str) else value
    if "status_details" in facts:
        facts["status_details"] = tuple(
            StatusDetail(url, base64.b64decode(data)) for url, data in plain["status_details"]
        )
    if issubclass(cls, TransportError):
        facts["target"] = target
    try:
        return cls(text(str(plain.get("message", "")).replace(TARGET, target)), **facts)
    except TypeError as failure:
        raise ValueError(str(failure)) from None


def _facts(cls: type[HeadraceError]) -> dict[str, Any]:
    """Return the fields of an error class besides its message, each with its default."""
    return next((facts for base, facts in _FACTS.items() if issubclass(cls, base)), {})
