"""The models that the embedded server serves in these tests, besides the built-in ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.Image as Pictures
from numpy.typing import NDArray

from headrace.server.model import Card, Item, ModelError
from headrace.server.types import Audio, Concept, Frame, Image, Region, Text, Video, method


class Typed:
    """Methods with typed arguments of every kind."""

    def predict(self, prompt: str, times: int = 2, mark: str = "!") -> str:
        """Repeat the prompt."""
        return " ".join([prompt] * times) + mark

    def generate(self, prompt: str, times: int = 1) -> Iterator[str]:
        """Give the words of the prompt one by one."""
        for _ in range(times):
            yield from prompt.split()

    def stream(self, numbers: Iterator[int], start: int = 0) -> Iterator[int]:
        """Give the running sum."""
        for number in numbers:
            start += number
            yield start

    @method
    def everything(
        self, flag: bool, ratio: float, raw: bytes, text: Text, data: dict[str, object]
    ) -> dict[str, object]:
        """Tell what came."""
        return {"flag": flag, "ratio": ratio, "raw": raw.decode(), "text": text, "data": data}

    @method
    def total(self, numbers: list[int], pair: tuple[str, int]) -> tuple[str, int]:
        """Add the numbers to the pair's."""
        return pair[0], pair[1] + sum(numbers)

    @method
    def tell(self, flag: bool, ratio: float, text: Text, data: dict[str, object]) -> str:
        """Write down what came."""
        return json.dumps([flag, ratio, text, data])

    @method
    def size(self, raw: bytes) -> int:
        """Count bytes."""
        return len(raw)

    @method
    def pick(self, data: dict[str, object]) -> str:
        """Name the keys."""
        return " ".join(sorted(data))

    @method
    def sum(self, numbers: list[int]) -> int:
        """Add numbers."""
        return sum(numbers)

    @method
    def half(self, ratio: float) -> float:
        """Halve a number."""
        return ratio / 2

    @method
    def negate(self, flag: bool) -> bool:
        """Say no to yes."""
        return not flag

    @method
    def scaled(self, array: NDArray[np.float32], factor: float = 2.0) -> NDArray[np.float32]:
        """Multiply an array."""
        return (array * factor).astype(np.float32)

    @method
    def label(self, image: Image) -> list[Concept]:
        """Name an image by its size."""
        return [Concept(f"{len(image)} bytes", 0.75, "size"), Concept(image[:2].hex(), 0.5, "magic")]

    @method
    def media(self, images: list[Image], audio: Audio, video: Video) -> tuple[Image, Audio, Video, Text]:
        """Give back what comes."""
        return images[-1], audio, video, Text(f"{len(images)} images")

    @method
    def turned(self, picture: Pictures.Image) -> Pictures.Image:
        """Turn a picture by a quarter."""
        return picture.rotate(90, expand=True)

    @method
    def told(self, items: list, concepts: list[Concept], default: list[int] | None = None) -> list:  # type: ignore[type-arg]
        """Count."""
        return [len(items), [concept.name for concept in concepts], default]

    @method
    def none(self, prompt: str) -> list[Concept]:
        """Find nothing."""
        return []

    @method
    def find(self, image: Image) -> list[Region]:
        """Find one thing in the upper left quarter."""
        return [Region(0.0, 0.0, 0.5, 0.25, 0.75, (Concept("thing", 0.75),))]

    @method
    def frames(self, times: list[int]) -> Iterator[Frame]:
        """Give a frame for each time."""
        for index, time in enumerate(times):
            yield Frame(index, time, (Concept("c", 0.5),))

    @method
    def nothing(self, prompt: str) -> Iterator[str]:
        """Give an empty stream."""
        yield from ()

    @method
    def fails(self, prompt: str) -> Iterator[str]:
        """Fail after the first piece."""
        yield prompt
        raise ModelError(21313, "no more of this")


class Shout:
    """Takes items, in the plain form of the protocol; `bad` fails."""

    card = Card("shout", "text-to-text", "Shout", "Answers louder.", ("text",), ("text",))

    def predict(self, item: Item) -> str:
        if item.text == "bad":
            raise ModelError(30104, "this one is bad")
        return (item.text or "").upper() + "!" * int(item.params.get("marks", 0))

    def generate(self, item: Item) -> Iterator[str]:
        for word in (item.text or "").split():
            yield word.upper()

    def stream(self, items: Iterable[Item]) -> Iterator[str]:
        for item in items:
            yield self.predict(item)


class Sizes:
    """Names a picture by its size, in every shape."""

    card = Card("sizes", "visual-classifier", "Sizes", "Tells the size.", ("image",), ("concepts",))

    def predict(self, item: Item) -> list[tuple[str, float]]:
        found = [(f"{len(item.image or b'')} bytes", 0.9), ("picture", 0.8), ("thing", 0.7)]
        return [one for one in found if one[1] >= item.config.min_value][: item.config.max_concepts or None]
