"""Reading a caller's input: the text, and inference parameters with their ranges."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.server.model import Item, ModelError

INVALID_PARAMETER = 11102
INVALID_ARGUMENT = 30104

_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


def _of_text(value: object) -> object:
    """Read a number that came as a text, as the official examples send them; anything else stays what it is."""
    if not isinstance(value, str) or len(value) > 40:
        return value
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return value


def words(item: Item) -> str:
    """Return the item's text.

    Raises:
        ModelError: 30104 when there is none or it is blank.
    """
    if item.text is None or not item.text.strip():
        raise ModelError(INVALID_ARGUMENT, "the input's text is empty")
    return item.text


def number(item: Item, name: str, default: float, low: float, high: float) -> float:
    """Read a number among the inference parameters; null counts as not given, "0.7" as 0.7.

    Raises:
        ModelError: 11102 when it is not a number or outside `low`..`high`.
    """
    value = item.params.get(name)
    if value is None:
        return default
    value = _of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN is outside
        raise ModelError(INVALID_PARAMETER, f"parameter {name} must be a number from {low:g} to {high:g}")
    return float(value)


def whole(item: Item, name: str, default: int, low: int, high: int) -> int:
    """Read a whole number among the inference parameters; null counts as not given, "1024" as 1024.

    Raises:
        ModelError: 11102 when it is not a whole number or outside `low`..`high`.
    """
    value = item.params.get(name)
    if value is None:
        return default
    value = _of_text(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ModelError(INVALID_PARAMETER, f"parameter {name} must be a whole number from {low} to {high}")
    return value


def string(item: Item, name: str, default: str) -> str:
    """Read a string among the inference parameters; null counts as not given.

    Raises:
        ModelError: 11102 when it is something else.
    """
    value = item.params.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ModelError(INVALID_PARAMETER, f"parameter {name} must be a text")
    return value


def flag(item: Item, name: str) -> bool:
    """Read a switch among the inference parameters; null and not given mean off.

    Raises:
        ModelError: 11102 when it is neither true nor false.
    """
    value = item.params.get(name)
    if isinstance(value, int | str) and not isinstance(value, bool):
        value = _SWITCHES.get(str(value).strip().casefold(), value)
    if value is not None and not isinstance(value, bool):
        raise ModelError(INVALID_PARAMETER, f"parameter {name} must be true or false")
    return bool(value)


def texts(item: Item, name: str, limit: int) -> list[str]:
    """Read one text or several among the inference parameters; null counts as not given.

    Raises:
        ModelError: 11102 when it is something else, or has more than `limit` of them.
    """
    value = item.params.get(name)
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or len(values) > limit or not all(isinstance(v, str) and v for v in values):
        raise ModelError(INVALID_PARAMETER, f"parameter {name} must be a text or a list of at most {limit} texts")
    return list(values)
