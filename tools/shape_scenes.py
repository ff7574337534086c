"""Scenes of coloured shapes for training the small text-to-image model: what they show, and sentences that say so.

A scene is at most four shapes on a plain ground. What its sentence leaves open (where exactly, how large, how tilted,
sometimes the colour) is decided by five numbers of chance a shape, so that the same sentence and the same chance
always mean the same picture.
"""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

import numpy as np

SLOTS = 4
CHANCE = 5  # numbers a shape: sideways, up and down, size, tilt, hue
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
SHAPE_WORDS = {
    "circle": ("circle", "disc", "dot", "ball"),
    "square": ("square", "box", "cube"),
    "cross": ("cross", "plus"),
    "ring": ("ring", "hoop"),
    "diamond": ("diamond", "rhombus"),
}
COLOURS = {
    "red": (0.86, 0.15, 0.15), "green": (0.13, 0.62, 0.24), "blue": (0.13, 0.33, 0.83), "yellow": (0.98, 0.84, 0.10),
    "orange": (0.96, 0.53, 0.08), "purple": (0.50, 0.18, 0.68), "pink": (0.98, 0.52, 0.72), "brown": (0.47, 0.28, 0.14),
    "black": (0.05, 0.05, 0.05), "white": (0.97, 0.97, 0.97), "grey": (0.55, 0.55, 0.55), "cyan": (0.10, 0.74, 0.80),
}  # fmt: skip
COLOUR_WORDS = {"grey": ("grey", "gray"), "cyan": ("cyan", "turquoise"), "purple": ("purple", "violet")}
SIZES = {"tiny": 0.07, "small": 0.11, "": 0.17, "large": 0.25, "huge": 0.34}
SIZE_WORDS = {"large": ("large", "big"), "huge": ("huge", "giant", "enormous"), "tiny": ("tiny", "little")}
PLACES = {
    "left": (0.24, 0.5), "right": (0.76, 0.5), "top": (0.5, 0.24), "bottom": (0.5, 0.76), "middle": (0.5, 0.5),
    "top left": (0.24, 0.24), "top right": (0.76, 0.24), "bottom left": (0.24, 0.76), "bottom right": (0.76, 0.76),
}  # fmt: skip
RELATIONS = ("above", "below", "left of", "right of", "inside")
COUNTS = {2: "two", 3: "three", 4: "four"}
OPENINGS = ("", "", "", "a picture of", "draw", "an image of", "show me", "a drawing with", "please paint", "there is")


@dataclass(frozen=True)
class Thing:
    """One shape as the sentence describes it; empty words are left open."""

    shape: str
    colour: str
    size: str
    place: str = ""


@dataclass(frozen=True)
class Scene:
    """Up to four shapes; `counts` groups equal ones; `relation` is between the first two."""

    things: tuple[Thing, ...]
    ground: str
    relation: str = ""
    counts: tuple[int, ...] = ()


def sample(chance: random.Random) -> Scene:
    """Make up a scene."""

    def thing(placed: float) -> Thing:
        return Thing(
            chance.choice(SHAPES),
            chance.choice(list(COLOURS)) if chance.random() < 0.85 else "",
            chance.choice([s for s in SIZES if s]) if chance.random() < 0.45 else "",
            chance.choice(list(PLACES)) if chance.random() < placed else "",
        )

    ground = chance.choice(list(COLOURS)) if chance.random() < 0.35 else ""
    kind = chance.random()
    if kind < 0.25:
        one, other = thing(0), thing(0)
        return Scene((one, other), ground, chance.choice(RELATIONS))
    if kind < 0.40:
        count = chance.choice([2, 3, 4])
        one = thing(0)
        more = (thing(0),) if count < SLOTS and chance.random() < 0.4 else ()
        return Scene((one,) * count + more, ground, "", (count, 1)[: 1 + len(more)])
    number = chance.choices([1, 2, 3, 4], [4, 4, 2, 1])[0]
    placed = chance.choice([0.0, 0.5, 1.0])
    return Scene(tuple(thing(placed) for _ in range(number)), ground, "", (1,) * number)


def sentence(scene: Scene, chance: random.Random) -> str:
    """Say what a scene shows, in one of many ways."""

    def noun(thing: Thing, count: int = 1) -> str:
        words = [COUNTS[count]] if count > 1 else [chance.choice(["a", "a", "a", "the", "one", ""])]
        if thing.size:
            words.append(chance.choice(SIZE_WORDS.get(thing.size, (thing.size,))))
        if thing.colour:
            words.append(chance.choice(COLOUR_WORDS.get(thing.colour, (thing.colour,))))
        shape = chance.choice(SHAPE_WORDS.get(thing.shape, (thing.shape,)))
        plural = {"box": "boxes", "cross": "crosses", "plus": "pluses", "rhombus": "rhombuses"}.get(shape, f"{shape}s")
        return " ".join([*words, plural if count > 1 else shape])

    def place(where: str) -> str:
        if where == "middle":
            return f"in the {chance.choice(['middle', 'centre', 'center'])}"
        words = where.replace("top", chance.choice(["top", "top", "upper"])).replace(
            "bottom", chance.choice(["bottom", "bottom", "lower"])
        )
        if " " in where:
            return f"{chance.choice(['in', 'at'])} the {words}{chance.choice(['', ' corner'])}"
        if where in ("left", "right"):
            return f"{chance.choice(['on', 'to', 'at'])} the {where}{chance.choice(['', '', ' side'])}"
        return f"at the {where}"

    if scene.relation:
        one, other = map(noun, scene.things)
        link = {"left of": chance.choice(["left of", "to the left of"]), "inside": chance.choice(["inside", "in"]),
                "right of": chance.choice(["right of", "to the right of"]), "below": chance.choice(["below", "under"]),
                "above": chance.choice(["above", "over", "on top of"])}[scene.relation]  # fmt: skip
        said = f"{one} {link} {other}"
    else:
        parts, at = [], 0
        for count in scene.counts:
            thing = scene.things[at]
            at += count
            words = noun(thing, count)
            if thing.place:
                where = place(thing.place)
                words = f"{where} {words}" if chance.random() < 0.15 else f"{words} {where}"
            parts.append(words)
        link = chance.choice([" and ", " , ", " with "])
        said = parts[0] if len(parts) == 1 else f"{' , '.join(parts[:-1])}{link}{parts[-1]}"
    opening = chance.choice(OPENINGS)
    said = f"{opening} {said}".strip()
    if scene.ground:
        colour = chance.choice(COLOUR_WORDS.get(scene.ground, (scene.ground,)))
        said += chance.choice([f" on a {colour} background", f" on {colour}", f" , {colour} background"])
    return said


def truth(scene: Scene, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decide what a scene looks like.

    Args:
        chance: (SLOTS, CHANCE) numbers from -1 to 1.

    Returns:
        shapes' kinds (SLOTS,), -1 where there is none; their x, y, size, tilt, red, green, blue (SLOTS, 7); the
        ground's colour (3,). The first shape lies on top.
    """
    kinds, numbers = np.full(SLOTS, -1), np.zeros((SLOTS, 7), np.float32)
    count = len(scene.things)
    for i, thing in enumerate(scene.things):
        dx, dy, larger, tilt, hue = chance[i]
        size = SIZES[thing.size]
        if count > 2:
            size = min(size, 0.45 / count)
        if scene.relation == "inside":
            size = {0: 0.5 * min(size, 0.2), 1: max(size, 0.24)}[i]
        x, y, free = _place(scene, i, thing)
        colour = COLOURS[thing.colour] if thing.colour else colorsys.hsv_to_rgb((hue + 1) / 2 * 0.99, 0.75, 0.9)
        kinds[i] = SHAPES.index(thing.shape)
        numbers[i] = (x + free * dx, y + free * dy, size * (1 + 0.12 * larger), 0.25 * tilt, *colour)
    ground = COLOURS[scene.ground] if scene.ground else (0.85, 0.87, 0.89)
    return kinds, numbers, np.array(ground, np.float32)


def _place(scene: Scene, i: int, thing: Thing) -> tuple[float, float, float]:
    """Give a shape's place and how far chance may move it."""
    if thing.place:
        x, y = PLACES[thing.place]
        return x, y, 0.03
    count = len(scene.things)
    if scene.relation == "inside":
        return 0.5, 0.5, 0.02
    if scene.relation:
        gap = {"above": (0.0, -0.23), "below": (0.0, 0.23), "left of": (-0.23, 0.0), "right of": (0.23, 0.0)}
        dx, dy = gap[scene.relation]
        return (0.5 + dx, 0.5 + dy, 0.03) if i == 0 else (0.5 - dx, 0.5 - dy, 0.03)
    return (i + 0.5) / count, 0.5, (0.12 if count == 1 else 0.05)


def inside(kind: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Say for points in a shape's own frame (its radius is 1, v points down) whether they are in it."""
    r, phi = np.hypot(u, v), np.arctan2(u, -v)
    wave = np.abs((phi * 5 / (2 * np.pi) + 0.5) % 1 - 0.5) * 2  # 0 at a star's points, 1 between
    fifth, notch = np.pi / 5, 0.45  # a star's edge runs from a point (radius 1) to a notch
    star = r * (notch * np.sin(fifth * (1 - wave)) + np.sin(fifth * wave)) < notch * np.sin(fifth)
    h, w = 1.15 * u, -1.15 * v + 0.1
    tests = [
        r < 1, np.maximum(np.abs(u), np.abs(v)) < 0.86,
        (v < 0.75) & (np.abs(u) * 1.8 - v < 1.0),
        star, (h * h + w * w - 1) ** 3 - h * h * w**3 < 0,
        np.abs(u) * 1.3 + np.abs(v) < 1.1, (r < 1) & (r > 0.58),
        (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (np.maximum(np.abs(u), np.abs(v)) < 0.95),
    ]  # fmt: skip
    return np.select([kind == i for i in range(len(tests))], tests, False)


def words() -> tuple[str, ...]:
    """List the words that sentences are made of."""
    chance = random.Random(0)
    found = {word for _ in range(20_000) for word in sentence(sample(chance), chance).split()}
    return tuple(sorted(found))
