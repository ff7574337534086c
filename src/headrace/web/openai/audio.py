"""POST /v1/audio/transcriptions and /v1/audio/speech."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from headrace.chat.generation import Generation
from headrace.inputs import Input
from headrace.support.extras import install
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.requests import Speech, Transcription
from headrace.web.sending import Events, EventStream, event

_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_CODERS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac"), "flac": ("flac", "flac")}
_PCM_RATE, _OPUS_RATE = 24_000, 48_000  # samples a second


async def transcription(body: Transcription, sound: bytes, served: Served) -> Response:
    """Transcribe a sound."""
    served.must("audio", "text", "/v1/audio/transcriptions")
    params: dict[str, Any] = {} if body.temperature is None else {"temperature": body.temperature}
    if body.language and served.takes("language"):
        params["language"] = body.language
    item = Input.from_bytes(sound, "audio")
    if body.stream:
        generation = Generation(served.model, served, item, params)
        return EventStream(_heard(generation), lambda refused: event(refused.body, "error"))
    prediction = await served.model.predict(item, inference_params=params)
    if body.response_format == "text":
        return PlainTextResponse(prediction.text)
    if body.response_format == "json":
        return JSONResponse({"text": prediction.text})
    fields = prediction.data.metadata.fields
    language = fields["language"].string_value if "language" in fields else body.language or ""
    duration = fields["duration"].number_value if "duration" in fields else 0.0
    return JSONResponse({"task": "transcribe", "language": language, "duration": duration, "text": prediction.text})


async def _heard(generation: Generation) -> Events:
    text = ""
    async with contextlib.aclosing(generation.pieces()) as pieces:
        async for piece in pieces:
            text += piece
            yield event({"type": "transcript.text.delta", "delta": piece}, "transcript.text.delta")
    yield event({"type": "transcript.text.done", "text": text}, "transcript.text.done")


async def speech(body: Speech, served: Served) -> Response:
    """Speak a text."""
    served.must("text", "audio", "/v1/audio/speech")
    params: dict[str, Any] = {}
    if body.speed != 1.0:
        if served.parameters is not None and not served.takes("speed"):
            raise Refusal(400, f"The model {served.name!r} has one speed.", param="speed", code="unsupported_parameter")
        params["speed"] = body.speed
    prediction = await served.model.predict(Input.from_text(body.input), inference_params=params)
    sound = prediction.audio
    if not sound:
        raise Refusal(502, "The model's answer has no sound.", type="server_error", code="bad_answer")
    if body.response_format != "wav" or sound[:4] != b"RIFF":
        sound = await asyncio.to_thread(recoded, sound, body.response_format)
    return Response(sound, media_type=_TYPES[body.response_format])


def recoded(sound: bytes, form: str) -> bytes:
    """Re-encode a sound, mono.

    Args:
        form: "mp3", "opus" (in Ogg), "aac" (ADTS), "flac", "wav", or "pcm" (16 bit, little-endian, 24 kHz).

    Raises:
        Refusal: 501, PyAV is not installed; 502, the sound cannot be read.
    """
    try:
        import av
    except ImportError:
        hint = f"Only wav is available here: {install('video')} adds the others."
        raise Refusal(501, hint, param="response_format", type="server_error", code="unsupported_format") from None
    target = io.BytesIO()
    try:
        with av.open(io.BytesIO(sound)) as source:
            rate = {"pcm": _PCM_RATE, "opus": _OPUS_RATE}.get(form, source.streams.audio[0].rate)
            if form in ("pcm", "wav"):
                samples = _samples(source, rate)
                return samples if form == "pcm" else _wav(samples, rate)
            container, coder = _CODERS[form]
            with av.open(target, "w", format=container) as output:
                stream = output.add_stream(coder, rate=rate, layout="mono")
                for frame in source.decode(audio=0):
                    output.mux(stream.encode(frame))
                output.mux(stream.encode(None))
    except (av.FFmpegError, IndexError) as error:
        raise Refusal(
            502, f"The model's sound cannot be read: {error}", type="server_error", code="bad_answer"
        ) from None
    return target.getvalue()


def _samples(source: Any, rate: int) -> bytes:
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    frames = (part for frame in (*source.decode(audio=0), None) for part in resampler.resample(frame))
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


def _wav(samples: bytes, rate: int) -> bytes:
    import wave

    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return target.getvalue()
