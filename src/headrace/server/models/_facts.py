"""What several models see in one picture, combined: its subject, the objects, the faces, the text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_SURE, _LIKELY = 0.6, 0.3
_OBJECT_SCORE, _LINE_SCORE, _FACE_SCORE = (
    0.5,
    0.95,
    0.97,
)  # more than when asked alone: what is said here is not shown with a score
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PLURALS = {"person": "people", "knife": "knives", "mouse": "mice", "sheep": "sheep", "scissors": "scissors",
            "skis": "skis"}  # fmt: skip
_SPOKEN = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "television"}
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen: the subject with its probability (or None), objects with their number, lines of text."""

    subject: str | None
    probability: float
    objects: dict[str, int]
    lines: tuple[str, ...]

    @property
    def others(self) -> dict[str, int]:
        """The objects beside the subject: the one cat of a "tiger cat" is the subject."""
        subject = (self.subject or "").lower()
        same = {subject, *subject.split()}
        return {name: number for name, number in self.objects.items() if number > 1 or name not in same}

    def sentence(self) -> str:
        """Return the facts as a sentence or two of a fixed form that adds nothing."""
        things = listed([counted(name, number) for name, number in self.others.items()])
        if self.subject:
            sure = "" if self.probability >= _SURE else ", probably"
            sentence = f"A picture{sure} of {article(self.subject)}{f', with {things}' if things else ''}."
        else:
            sentence = f"A picture of {things}." if things else "A picture; no model here knows what it shows."
        if self.lines:
            sentence += f" It says: “{self.text()}”"
        return sentence

    def text(self) -> str:
        """Return the text in the picture in one line, cut if it is long."""
        whole = " / ".join(self.lines)
        return whole if len(whole) <= _MAX_TEXT else f"{whole[:_MAX_TEXT].rstrip()}…"


class Observer:
    """The classifier, the detectors of objects and faces and the reader, used together."""

    def __init__(self) -> None:
        from headrace.server.models.classifier import namer
        from headrace.server.models.detector import yolo
        from headrace.server.models.faces import faces
        from headrace.server.models.nanodet import nanodet
        from headrace.server.models.ocr import reader

        self._namer, self._faces, self._reader = namer(), faces(), reader()
        self._detectors = (nanodet(), yolo())  # each finds what the other misses

    def look(self, image: Image) -> Facts:
        """Gather the facts of a picture."""
        name, probability = self._namer.name(image)
        objects: Counter[str] = Counter()
        for detector in self._detectors:
            objects |= Counter(box.name for box in detector.find(image, _OBJECT_SCORE))
        objects |= Counter(person=len(self._faces.find(image, _FACE_SCORE)))
        lines = tuple(
            line.text for line in self._reader.read(image, _LINE_SCORE) if sum(map(str.isalnum, line.text)) > 2
        )
        subject = name if probability >= _LIKELY else None
        return Facts(subject, probability, {thing: count for thing, count in objects.items() if count}, lines)


def article(name: str) -> str:
    """Put "a" or "an" before a name."""
    name = _SPOKEN.get(name, name)
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def counted(name: str, number: int) -> str:
    """Return how many there are: "a cup", "two people"."""
    if number == 1:
        return article(name)
    return f"{in_words(number)} {plural(name)}"


def in_words(number: int) -> str:
    """Write a small number as a word: "three"."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def plural(name: str) -> str:
    """Return the plural of a name."""
    name = _SPOKEN.get(name, name)
    return _PLURALS.get(name) or (f"{name}es" if name.endswith(("s", "sh", "ch")) else f"{name}s")


def listed(things: list[str]) -> str:
    """Join with commas and "and"."""
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)
