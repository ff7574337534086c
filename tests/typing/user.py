"""What users write, and what they write wrongly: checked by mypy and pyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import headrace
from headrace import events
from headrace.testing import Fail, ModelDouble, ReceivedInput


async def frames() -> AsyncIterator[bytes]:
    yield b"frame"


def lines() -> Iterator[str]:
    yield "line"


def show(event: events.Event) -> None:
    if isinstance(event, events.RetryScheduled):
        assert_type(event.delay, float)


def answer(item: ReceivedInput) -> str | Fail:
    return item.text if item.attempt > 1 else Fail(11005)


async def main() -> None:
    async with headrace.Client(
        base_url="http://localhost:1",
        pat="x",
        timeout=5.0,
        retry=headrace.RetryPolicy(attempts=3),
        limits=headrace.Limits(requests_per_second="auto"),
        transport=ModelDouble(answer),
        on_event=show,
    ) as client:
        model = client.model("u/a/models/m", deployment_id="d")
        assert_type(model, headrace.Model)
        prediction = await model.predict_by_bytes("text", input_type="text", inference_params={"top_k": 3}, timeout=1.0)
        assert_type(prediction, headrace.Prediction)
        assert_type(prediction.text, str)
        assert_type(prediction.image, bytes | None)
        assert_type(prediction.concepts, tuple[headrace.Concept, ...])
        assert_type(prediction.error, headrace.HeadraceError | None)
        assert_type(prediction.outputs[0].data.text.raw, str)
        assert_type([p.input_id for p in prediction], list[str])
        await model.predict_by_bytes(input_bytes=b"x", input_type="text")
        await model.predict_by_filepath(filepath="x.jpg")
        model.stream_by_url(url_iterator=["https://h/x.jpg"])
        model.stream_by_bytes(input_bytes_iterator=frames())
        model.stream_frames(frames())
        model.stream_frames([b"frame", Path("x.jpg")])
        model.stream_frames(headrace.sources.video("x.mp4"))
        model.stream_frames([headrace.sources.camera(0), headrace.sources.camera(1)])
        model.stream_frames(3)  # type: ignore[arg-type]
        await model.call("predict", "x", timeout=1.0, metadata=[("x-a", "b")])
        await model.predict([headrace.Input.from_url("https://h/x.jpg", "image"), b"x", Path("x.jpg"), "text"])
        async with model.generate_by_bytes("text", output_config={"max_concepts": 3}) as pieces:
            async for piece in pieces:
                assert_type(piece.text, str)
        assert_type(await model.generate_by_bytes("text").text(), str)
        stream = model.stream_by_bytes(frames(), input_type="image", window=None, overflow="latest", on_error="raise")
        async with stream:
            async for prediction in stream:
                assert_type(prediction.position, int)
            assert_type(stream.stats.dropped, int)
        async for prediction in model.map(lines(), concurrency=4, ordered=False, on_error="yield"):
            assert_type(prediction.request_id, str)
        assert_type(client.stats.retries, int)
        other: headrace.Client = client.with_options(timeout=None)
        await other.close()
    tls = headrace.TLS(root_certificates="system", server_name="h")
    async with headrace.Client(base_url="https://h", tls=tls, transport="h2") as client:
        client.model("m")
        await client.aclose()
    options: headrace.ClientOptions = {"pat": "x", "tls": tls, "transport": "h2"}
    call: headrace.CallOptions = {"timeout": 1.0, "metadata": [("x-a", "b")]}
    flow: headrace.StreamOptions = {"window": 4, "batch": "auto", "timeout": 1.0}
    live: headrace.FrameOptions = {"overflow": "latest", "timeout": 1.0}
    alone = headrace.Model(url="u/a/models/m", **options)
    await alone.predict(b"x", **call)
    assert_type(alone.stream(lines(), **flow), headrace.PredictionStream)
    assert_type(alone.generate("x", **call), headrace.TokenStream)
    assert_type(alone.stream_frames(frames(), **live), headrace.FrameStream)
    assert_type(alone.call("predict", "x"), headrace.MethodCall)
    assert_type(await alone.methods(), tuple[headrace.Method, ...])
    assert_type(alone.ref, headrace.ModelRef)
    assert_type(alone.client.target, headrace.Target)
    await alone.aclose()
    try:
        await headrace.Model(url="u/a/models/m", pat="x").predict(b"x")
    except headrace.PartialFailure as failure:
        assert_type(failure.errors[0].code, int | None)
    except headrace.StreamBroken as broken:
        assert_type(broken.unanswered, tuple[str, ...])


async def wrong(model: headrace.Model) -> None:
    await model.predict_by_bytes(b"x", input_type="picture")  # type: ignore[arg-type]
    await model.predict_by_bytes(b"x", timeout="5")  # type: ignore[arg-type]
    await model.predict_by_bytes(b"x", timeot=5)  # type: ignore[call-arg]
    await model.predict_by_url(b"https://h")  # type: ignore[arg-type]
    model.stream([b"x"], overflow="drop")  # type: ignore[arg-type]
    model.map([b"x"], on_error="ignore")  # type: ignore[arg-type]
    model.stream([3])  # type: ignore[list-item]
    await model.predict(3)  # type: ignore[arg-type]
    headrace.Model("u/a/models/m", patt="x")  # type: ignore[call-arg]
    headrace.Limits(connections="8")  # type: ignore[arg-type]
    headrace.Client(base_url=5)  # type: ignore[arg-type]


asyncio.run(main())
