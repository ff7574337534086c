"""Text to speech: hibari, one English voice."""

from __future__ import annotations

import io
import wave
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._answers import audio
from headrace.server.models._params import number, whole, words
from headrace.server.packages import needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CHARACTERS = 5000


class TextToSpeech:
    """Read an English text aloud: WAV, one channel, 16 bits, 24,000 samples a second.

    `generate` gives a WAV file a sentence as soon as it is spoken, `predict` one of the whole text.
    Inference parameters: `speed` (0.5..2, 1), `seed` (whole; fixes the little noise in the voice).
    """

    card: Card = Card(
        id="hibari-tts",
        task="text-to-audio",
        title="hibari, voice heart",
        description="Reads an English text aloud in one American voice, numbers, dates and amounts included.",
        input_fields=("text",),
        output_fields=("audio",),
        licence="Apache-2.0",
        provenance="package hibari-tts 0.2.1, distilled from Kokoro-82M; its NOTICE names the sources",
        size_bytes=16_100_000,
        weak_at="other languages, unusual names, feelings in the voice",
        sample="headrace predict --local --model_id hibari-tts --bytes 'Hello there.' --input_type text --save .",
        packages=("hibari",),
    )
    accepts: tuple[str, ...] = ("speed", "seed")

    def load(self) -> None:
        """Load the voice that lies in the package; the others, which would be downloaded, are never asked for."""
        Hibari = needed("hibari").Hibari

        self._voice: Any = Hibari()
        self._voice("Ready.")

    def predict(self, item: Item) -> Answer:
        """Speak one text."""
        import numpy as np

        parts = list(self._spoken(item))
        if not parts:
            raise ModelError(30104, "the text contains nothing to speak")
        return self._wav(np.concatenate(parts))

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Speak one text, a sentence an answer."""
        spoken = False
        for part in self._spoken(item):
            spoken = True
            yield self._wav(part)
        if not spoken:
            raise ModelError(30104, "the text contains nothing to speak")

    def _spoken(self, item: Item) -> Generator[NDArray[np.float32], None, None]:
        text = words(item)
        if len(text) > MAX_CHARACTERS:
            raise ModelError(30105, f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are spoken")
        seed = whole(item, "seed", 0, 0, 2**32 - 1) if item.params.get("seed") is not None else None
        for part in self._voice.stream(text, speed=number(item, "speed", 1.0, 0.5, 2.0), seed=seed):
            if item.cancelled.is_set():
                return
            if len(part):
                yield part

    def _wav(self, samples: NDArray[np.float32]) -> Answer:
        target = io.BytesIO()
        with wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self._voice.sample_rate)
            file.writeframes((samples.clip(-1.0, 1.0) * 32767.0).astype("<i2").tobytes())
        return audio(target.getvalue())
