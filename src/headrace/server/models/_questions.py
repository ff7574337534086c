"""Questions about pictures that rules answer from facts: how many, is there, what is it, what does it say."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headrace.server.models._data import labels
from headrace.server.models._facts import NUMBERS, Facts, article, counted, in_words, listed, plural

CANNOT_SEE = "I cannot see that."
_SAME = {
    "motorcycle": "motorbike", "bike": "bicycle", "airplane": "aeroplane", "plane": "aeroplane", "couch": "sofa",
    "table": "diningtable", "tv": "tvmonitor", "television": "tvmonitor", "phone": "cell phone", "mug": "cup",
    "man": "person", "woman": "person", "human": "person", "child": "person", "boy": "person", "girl": "person",
    "somebody": "person", "someone": "person", "anybody": "person", "anyone": "person", "men": "person",
    "women": "person", "children": "person", "people": "person", "mice": "mouse", "knives": "knife",
}  # fmt: skip
_KINDS = {
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicle": ("bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "boat"),
    "furniture": ("chair", "sofa", "bed", "diningtable"),
    "fruit": ("banana", "apple", "orange"),
}
_GENDERED = frozenset(("man", "woman", "child", "boy", "girl", "men", "women", "children"))
_READING = re.compile(r"\b(?:text|say|says|written|writing|read|word|words|letters)\b")
_TOTAL = re.compile(r"\b(?:total|sum|amount|to pay|cost|price)\b")
_AMOUNT = re.compile(r"[€$£]?\s?\d[\d.,]*\d\s?(?:[€$£]|EUR|USD|GBP|CHF)?|[€$£]\s?\d+")
_HOW_MANY = re.compile(r"\bhow many ((?:\w+ )?\w+)|\bnumber of ((?:\w+ )?\w+)|\bcount the ((?:\w+ )?\w+)")
_YES_OR_NO = re.compile(r"^(?:is|are|do|does|can|could|has|have)\b|\bor not\b")
_MORE_THAN_NAMES = re.compile(
    r"\b(?:colou?r(?:ed|s)?|red|green|blue|yellow|black|white|grey|gray|brown|pink|purple"
    r"|(?<!an )(?<!any )orange|big|small|large|tall|old|young|new|happy|sad|angry|smiling|laughing"
    r"|wearing|wears?|holding|doing|sitting|standing|running|walking|sleeping|eating|left|right|behind|front|next"
    r"|above|below|under|near|where|when|why|who|whose|time|year|place|weather|much|not|without|only|other|all|both|most|and|or)\b"
)
_PICTURE = r"(?: (?:in|on|of) (?:the|this) (?:picture|photo|image))"
_WHAT = re.compile(
    r"^(?:what|which)(?: (?:kind|sort|type) of)?(?: \w+)?(?: is|'s| are| do you see| can you see| am i looking at"
    rf"| does (?:it|the (?:picture|photo|image)) show)(?: this| that| it| there| shown| here| visible)*{_PICTURE}?$"
    r"|^(?:describe|what is) (?:this|the) (?:picture|photo|image)$|^what(?:'s| is) the (?:main )?subject"
)


def answer(question: str, facts: Facts) -> str | None:
    """Answer by rule if facts allow it, refuse what they never can answer; None for any other question."""
    asked = " ".join(re.findall(r"[\w'-]+", question.lower()))
    if _TOTAL.search(asked) and facts.lines:
        return _total(facts.lines)
    if _READING.search(asked):
        return f"It says: “{facts.text()}”" if facts.lines else "I can read no text in it."
    if many := _HOW_MANY.search(asked):
        return _how_many(next(group for group in many.groups() if group), asked, facts)
    if _WHAT.search(asked) and not _MORE_THAN_NAMES.search(asked):
        return _names(facts, asked)
    if _MORE_THAN_NAMES.search(asked):
        return CANNOT_SEE
    if _YES_OR_NO.search(asked):
        return _is_there(asked, facts)
    return None


def _how_many(noun: str, asked: str, facts: Facts) -> str:
    if _MORE_THAN_NAMES.search(asked):
        return CANNOT_SEE
    names = _classes(noun.split())
    if not names or names[0][0] in _GENDERED:
        return CANNOT_SEE
    word, classes = names[0]
    count = sum(facts.objects.get(name, 0) for name in classes)
    name = classes[0] if len(classes) == 1 else word
    if count == 0 and _is_subject(classes, facts):
        count = 1
    return f"I see {_exactly(name, count)}."


def _is_there(asked: str, facts: Facts) -> str:
    words = asked.split()
    names = _classes(words)
    if names:
        word, classes = names[0]
        if word in _GENDERED:
            return CANNOT_SEE
        counts = {name: facts.objects[name] for name in classes if facts.objects.get(name)}
        number = next((NUMBERS.index(one) for one in words if one in NUMBERS), None)
        if number is not None and number != (count := sum(counts.values())):
            return f"No, I see {_exactly(classes[0] if len(classes) == 1 else word, count)}."
        if counts:
            return f"Yes, I see {listed([counted(name, number) for name, number in counts.items()])}."
        if _is_subject(classes, facts):
            return f"Yes, I see {article(facts.subject or '')}."
        return f"No, I see {_exactly(classes[0] if len(classes) == 1 else word, 0)}."
    if facts.subject and any(_singular(word) in facts.subject.lower().split() for word in words):
        return f"Yes, I see {article(facts.subject)}."
    return CANNOT_SEE


def _names(facts: Facts, asked: str) -> str:
    """Name what is there; of a kind such as "animal", only what is known to be one."""
    kind = next((_KINDS[one] for word in asked.split() if (one := _singular(word)) in _KINDS), None)
    things = [counted(name, number) for name, number in facts.others.items() if kind is None or name in kind]
    if facts.subject and (kind is None or _is_subject(kind, facts)):
        things.insert(0, article(facts.subject))
    return f"I see {listed(things)}." if things else CANNOT_SEE


def _exactly(name: str, number: int) -> str:
    """Return how many there are, one as a number: "one cat", "no cats"."""
    return f"{in_words(number)} {article(name).split(' ', 1)[1] if number == 1 else plural(name)}"


def _total(lines: Iterable[str]) -> str:
    """Find the amount in the last line that says "total" and the like, or in the line below it."""
    lines = list(lines)
    for position in reversed(range(len(lines))):
        if re.search(r"\b(?:total|sum|amount due|to pay)\b", lines[position].lower()):
            for end in (position + 1, position + 2):
                amount = " ".join(lines[position:end])
                if _AMOUNT.search(amount):
                    return f"It says: “{amount}”"
    return CANNOT_SEE


def _classes(words: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the words that name a class of the detector, or a kind of them, with these classes."""
    known = frozenset(labels("coco"))
    classes: list[tuple[str, tuple[str, ...]]] = []
    for first, second in zip(words, [*words[1:], ""], strict=True):
        for phrase in (f"{first} {second}", first):
            one = _singular(phrase)
            if one in _KINDS:
                classes.append((one, _KINDS[one]))
            elif (name := _SAME.get(phrase, _SAME.get(one, one))) in known:
                classes.append((phrase if phrase in _GENDERED else one, (name,)))
            else:
                continue
            break
    return classes


def _singular(word: str) -> str:
    candidates = (word, word.removesuffix("s"), word.removesuffix("es"))
    return next((one for one in candidates if one in _KINDS or one in _SAME or one in labels("coco")), candidates[1])


def _is_subject(classes: Iterable[str], facts: Facts) -> bool:
    return facts.subject is not None and any(name in facts.subject.lower().split() for name in classes)
