"""Speech both ways: a real recording written down, and what the voice says understood word for word."""

from __future__ import annotations

import io
import re
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models import _media
from headrace.server.models._data import shipped
from headrace.server.models.speech_to_text import MULTILINGUAL, WEIGHTS, MultilingualSpeechToText, SpeechToText
from headrace.server.models.text_to_speech import MAX_CHARACTERS, TextToSpeech

RECORDING = shipped("samples/sounds/sense-and-sensibility.wav")


@pytest.fixture(scope="module")
def ears(fetched: Callable[[str], Path]) -> SpeechToText:
    fetched(WEIGHTS)
    model = SpeechToText()
    model.load()
    return model


@pytest.fixture(scope="module")
def polyglot(fetched: Callable[[str], Path]) -> MultilingualSpeechToText:
    fetched(MULTILINGUAL)
    model = MultilingualSpeechToText()
    model.load()
    return model


@pytest.mark.models
def test_the_multilingual_model_says_which_language_it_heard(polyglot: MultilingualSpeechToText) -> None:
    data = polyglot.predict(Item(audio=RECORDING.read_bytes())).data
    assert "john dashwood" in data.text.raw.lower()
    assert data.metadata["language"] == "en"
    probability = data.metadata["language_probability"]
    assert isinstance(probability, float)
    assert 0.5 < probability <= 1


class Ears:
    """Stands for Whisper: keeps what it is told."""

    supported_languages = ("en", "fr")

    def __init__(self) -> None:
        self.options: list[dict[str, object]] = []

    def transcribe(self, samples: object, **options: object) -> tuple[list[object], SimpleNamespace]:
        self.options.append(options)
        return [], SimpleNamespace(language="fr", duration=1.0, language_probability=1.0)


@pytest.mark.parametrize(
    ("params", "config", "language"),
    [
        ({}, OutputConfig(), None),
        ({"language": "fr"}, OutputConfig(), "fr"),
        ({"language": "FR-ca"}, OutputConfig(), "fr"),
        ({}, OutputConfig(language="fr"), "fr"),
        ({"language": "en"}, OutputConfig(language="fr"), "en"),
    ],
)
def test_the_language_can_be_said(params: dict[str, object], config: OutputConfig, language: str | None) -> None:
    model = MultilingualSpeechToText()
    ears = model._whisper = Ears()
    model.predict(Item(audio=RECORDING.read_bytes(), params=params, config=config))
    assert [options["language"] for options in ears.options] == [language]


def test_a_language_that_it_does_not_know_is_refused() -> None:
    model = MultilingualSpeechToText()
    model._whisper = Ears()
    with pytest.raises(ModelError, match="parameter language must be one of: en, fr") as caught:
        model.predict(Item(audio=RECORDING.read_bytes(), params={"language": "klingon"}))
    assert caught.value.code == 11102


@pytest.mark.parametrize("task", ["summarise", 1, ""])
def test_a_task_that_it_does_not_know_is_refused(task: object) -> None:
    with pytest.raises(ModelError, match="task") as caught:
        MultilingualSpeechToText().predict(Item(audio=RECORDING.read_bytes(), params={"task": task}))
    assert caught.value.code == 11102


@pytest.fixture(scope="module")
def voice() -> TextToSpeech:
    model = TextToSpeech()
    model.load()
    return model


def only_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9$]+", text.lower())


def length(wav: bytes) -> float:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        return float(file.getnframes() / 24_000)


def silence(seconds: float, rate: int = 8000) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(int(seconds * rate) * 2))
    return target.getvalue()


@pytest.mark.models
def test_a_recording_is_written_down_word_for_word(ears: SpeechToText) -> None:
    answer = ears.predict(Item(audio=RECORDING.read_bytes()))
    assert only_words(answer.data.text.raw) == only_words(
        "And Mr. John Dashwood had then leisure to consider how much there might be"
        " prudently in his power to do for them."
    )


@pytest.mark.models
def test_what_is_spoken_is_understood_word_for_word(ears: SpeechToText, voice: TextToSpeech) -> None:
    text = "The quick brown fox jumps over the lazy dog."
    spoken = voice.predict(Item(text=text, params={"seed": 1})).data.audio.base64
    assert 2 < length(spoken) < 5
    assert only_words(ears.predict(Item(audio=spoken)).data.text.raw) == only_words(text)


@pytest.mark.models
def test_segments_come_one_by_one_and_make_up_the_text(ears: SpeechToText, voice: TextToSpeech) -> None:
    text = "The first sentence is about rivers. The second one is about mills. The third one ends it."
    item = Item(audio=voice.predict(Item(text=text, params={"seed": 1})).data.audio.base64)
    segments = [answer.data.text.raw for answer in ears.generate(item)]
    assert len(segments) >= 2
    assert "".join(segments) == ears.predict(item).data.text.raw


@pytest.mark.models
def test_a_cancelled_listener_stops(ears: SpeechToText) -> None:
    item = Item(audio=RECORDING.read_bytes())
    item.cancelled.set()
    assert list(ears.generate(item)) == []


def test_a_sentence_is_spoken_at_a_time(voice: TextToSpeech) -> None:
    item = Item(text="One sentence. Another sentence!", params={"seed": 3})
    parts = [answer.data.audio.base64 for answer in voice.generate(item)]
    assert len(parts) == 2
    assert sum(map(length, parts)) == pytest.approx(length(voice.predict(item).data.audio.base64), abs=0.01)


def test_speed_and_seed_are_honoured(voice: TextToSpeech) -> None:
    def spoken(**params: object) -> bytes:
        return voice.predict(Item(text="Hello there, my friend.", params=params)).data.audio.base64

    assert length(spoken(speed=2)) < 0.7 * length(spoken(speed=1))
    assert spoken(seed=5) == spoken(seed=5) != spoken(seed=6)


@pytest.mark.parametrize(
    ("text", "params", "code"),
    [
        ("", {}, 30104),
        ("Hello", {"speed": 9}, 11102),
        ("Hello", {"seed": "x"}, 11102),
        ("a " * MAX_CHARACTERS, {}, 30105),
    ],
)
def test_what_cannot_be_spoken_is_refused(voice: TextToSpeech, text: str, params: dict[str, object], code: int) -> None:
    with pytest.raises(ModelError) as caught:
        voice.predict(Item(text=text, params=params))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 30300),
        (b"no sound at all", 30101),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", 30101),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 30101),
        (b"ID3" + bytes(100), 30300),
        (silence(1)[:20], 30300),
        (silence(0), 30300),
    ],
)
def test_what_is_no_sound_is_named(data: bytes, code: int) -> None:
    with pytest.raises(ModelError) as caught:
        _media.sound(data, threading.Event())
    assert caught.value.code == code


def test_sounds_become_one_channel_of_sixteen_kilohertz() -> None:
    samples = _media.sound(silence(1.5), threading.Event())
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(24_000, abs=20)
    recording = _media.sound(RECORDING.read_bytes(), threading.Event())
    assert 7.0 < len(recording) / 16_000 < 7.2
    assert 0.05 < np.abs(recording).max() <= 1.0


def test_a_sound_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_media, "MAX_SOUND_SECONDS", 2)
    with pytest.raises(ModelError) as caught:
        _media.sound(silence(3), threading.Event())
    assert caught.value.code == 30105


def test_an_input_without_sound_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        SpeechToText().predict(Item(text="hello"))
    assert caught.value.code == 30104
