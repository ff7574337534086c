"""What users write without async, and what they write wrongly: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import headrace
from headrace import blocking
from headrace.blocking import Client, Model
from headrace.testing import ModelDouble


def frames() -> Iterator[bytes]:
    yield b"frame"


def main() -> None:
    with Client(base_url="http://localhost:1", pat="x", transport=ModelDouble(lambda item: item.text)) as client:
        assert_type(client, Client)
        model = client.model("u/a/models/m", deployment_id="d")
        assert_type(model, Model)
        assert_type(model.client, Client)
        assert_type(model.ref, headrace.ModelRef)
        prediction = model.predict_by_bytes("text", input_type="text", inference_params={"top_k": 3}, timeout=1.0)
        assert_type(prediction, headrace.Prediction)
        model.predict([headrace.Input.from_url("https://h/x.jpg", "image"), b"x", Path("x.jpg"), "text"])
        with model.generate("text", output_config={"max_concepts": 3}) as pieces:
            assert_type(pieces, blocking.TokenStream)
            for piece in pieces:
                assert_type(piece, headrace.Prediction)
        assert_type(model.generate("text").text(), str)
        assert_type(model.generate("text").received, int)
        stream = model.stream_by_bytes(frames(), input_type="image", window=None, overflow="latest")
        assert_type(stream, blocking.PredictionStream)
        assert_type(stream.stats, headrace.StreamStats)
        assert_type(list(stream), list[headrace.Prediction])
        for prediction in model.map(frames(), concurrency=4, batch="auto"):
            assert_type(prediction.position, int)
        for frame in model.stream_frames(headrace.sources.camera(0)):
            assert_type(frame, headrace.FramePrediction)
        assert_type(model.methods(), tuple[headrace.Method, ...])
        assert_type(model.info(), headrace.ModelInfo)
        assert_type(client.models(), list[headrace.ModelInfo])
        assert_type(client.default_model("image"), Model)
        assert_type(client.with_options(timeout=None), Client)
        assert_type(client.stats.retries, int)
        client.close()
    with Client.local(["echo"]) as client:
        assert_type(client, Client)
    options: headrace.ClientOptions = {"pat": "x", "transport": "h2"}
    with Model("u/a/models/m", **options) as model:
        assert_type(model, Model)


def wrong(model: Model) -> None:
    model.predict_by_bytes(b"x", input_type="picture")  # type: ignore[arg-type]
    model.predict_by_bytes(b"x", timeot=5)  # type: ignore[call-arg]
    model.stream([b"x"], overflow="drop")  # type: ignore[arg-type]
    model.shout("x")  # type: ignore[attr-defined]
    Model("u/a/models/m", patt="x")  # type: ignore[call-arg]
    Model("u/a/models/m", client=headrace.Client())  # type: ignore[arg-type]


main()
