"""Sentences about shapes in the form that the shapes model was trained on: each shape by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.server.model import ModelError
from headrace.server.models._params import INVALID_ARGUMENT

MAX_SHAPES = 4
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
_NAMES = frozenset((*SHAPES, "disc", "dot", "ball", "box", "cube", "rhombus", "hoop", "plus"))
_PLURALS = {f"{name}{ending}": name for name in _NAMES for ending in ("s", "es")}
_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_COUNTED, 1)} | {
    "no": 0, "pair": 2, "couple": 2, "both": 2, "few": 3, "some": 3, "several": 3, "dozen": 12, "many": 100,
}  # fmt: skip
_GROUP = re.compile(r"\b(?:(?:a|the) )?(pair|couple|few|dozen)\b(?: of)?")
_ENDS = frozenset((",", "and", "with", "on", "in", "at", "to", "of", "above", "below", "over", "under", "inside"))
_FILLERS = frozenset(("please", "draw", "paint", "show", "me", "there", "is", "are", "a", "an", "the"))
_WHERE = r"(?:top|bottom|upper|lower|left|right|middle|cent(?:re|er))"
_PLACE = re.compile(rf"\b{_WHERE}\b")
_PLACED = re.compile(rf"^(?:are )?(?:in|on|at|to) the {_WHERE}\b(?! of)")
_RELATION = re.compile(
    rf"\b(?:above|below|over|under|inside|on top of|(?:left|right) of|in (?:a|an|one) (?!{_WHERE}))\b"
)


def tokens(text: str) -> list[str]:
    """Return a sentence's words and commas; "two red dots" becomes "a red dot , a red dot". A bare plural means two.

    Raises:
        ModelError: 30104 when it asks for no shape or for more than four, or says of several where they are.
    """
    words = re.findall(r"[a-z]+|\d+|,", _GROUP.sub(r"\1", text.lower()))
    spread: list[str] = []
    shapes, start = 0, 0  # `start`: where the words about the next shape begin
    for position, word in enumerate(words):
        name = word if word in _NAMES else _PLURALS.get(word)
        if name is None:
            if word in _ENDS:
                spread += words[start : position + 1]
                start = position + 1
            continue
        before = words[start:position]
        number = _number(before, 1 if word == name else 2)
        shapes += number
        if number == 0 or shapes > MAX_SHAPES:
            raise ModelError(INVALID_ARGUMENT, f"this model draws one to {MAX_SHAPES} shapes, and no more")
        if number == 1:
            spread += ["a" if _value(other) == 1 else other for other in before] + [name]
        else:
            if _PLACE.search(" ".join(before)) or _PLACED.search(" ".join(words[position + 1 :])):
                raise ModelError(INVALID_ARGUMENT, f"this model puts one shape in a place; say where each {name} is")
            kind = [other for other in before if _value(other) is None and other not in _FILLERS]
            spread += ["a", *kind, name, *([",", "a", *kind, name] * (number - 1))]
        start = position + 1
    if not shapes:
        raise ModelError(INVALID_ARGUMENT, f"this model draws only shapes; name one or more of: {', '.join(SHAPES)}")
    if shapes > 2 and _RELATION.search(" ".join(words)):
        raise ModelError(INVALID_ARGUMENT, "this model knows above, below, beside and inside of two shapes only")
    return spread + words[start:]


def _number(words: Sequence[str], otherwise: int) -> int:
    """Return the last number among the words before a shape."""
    values = [value for word in words if (value := _value(word)) is not None]
    return values[-1] if values else otherwise


def _value(word: str) -> int | None:
    return int(word[:4]) if word.isdigit() else _NUMBERS.get(word)
