"""Speech leaves in every form that OpenAI's API knows, as long as it was and readable."""

from __future__ import annotations

import io
import math
import wave

import av
import pytest

from headrace.web.failures import Refusal
from headrace.web.openai.audio import recoded

RATE, SECONDS = 22_050, 1.5


def tone() -> bytes:
    """Make a WAV file of a tone."""
    samples = [round(12_000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(int(RATE * SECONDS))]
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return target.getvalue()


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_sound_keeps_its_length(form: str) -> None:
    with av.open(io.BytesIO(recoded(tone(), form))) as container:
        stream = container.streams.audio[0]
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(stream))
        assert stream.codec_context.name.startswith({"wav": "pcm_s16le"}.get(form, form[:3]))
    assert seconds == pytest.approx(SECONDS, abs=0.12)  # coders work in blocks


def test_plain_samples_have_the_rate_that_is_promised() -> None:
    assert len(recoded(tone(), "pcm")) == pytest.approx(24_000 * 2 * SECONDS, abs=100)


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(Refusal, match="cannot be read") as refused:
        recoded(b"nothing", "mp3")
    assert refused.value.status == 502
