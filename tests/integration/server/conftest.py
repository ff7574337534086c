"""A real server in this process, on a socket file, and a raw gRPC stub for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from headrace.server.app import serving
from headrace.server.options import Options
from headrace.server.wire import METHODS, SERVICE
from headrace.v2 import service_pb2 as pb


class Stub:
    """Raw multi-callables by method name, and requests made easily."""

    def __init__(self, channel: grpc.aio.Channel, running: Any) -> None:
        self.channel = channel
        self.running = running
        makers = {"unary": channel.unary_unary, "generate": channel.unary_stream, "stream": channel.stream_stream}
        self.call: dict[str, Any] = {
            m.name: makers[m.shape](f"/{SERVICE}/{m.name}", m.request.SerializeToString, m.response.FromString)
            for m in METHODS
        }
        self.predict = self.call["PostModelOutputs"]
        self.generate = self.call["GenerateModelOutputs"]
        self.stream = self.call["StreamModelOutputs"]

    @staticmethod
    def request(*texts: str, model: str = "echo", ids: str = "i", **params: Any) -> pb.PostModelOutputsRequest:
        """Make a request of text inputs with ids i0, i1, ... and inference parameters."""
        made = pb.PostModelOutputsRequest(model_id=model)
        for position, text in enumerate(texts):
            made.inputs.add(id=f"{ids}{position}").data.text.raw = text
        if params:
            made.model.model_version.output_info.params.update(params)
        return made


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Any]:
    """Give a function that starts a server with model classes (and echo) and returns a Stub."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*classes: type, **options: Any) -> Stub:
            options.setdefault("unix", tmp_path / "s")
            chosen = Options(models=options.pop("models", ("echo",)), **options)
            running = await stack.enter_async_context(serving(chosen, classes=classes))
            target = running.address.removeprefix("http://")
            settings = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, settings))
            return Stub(channel, running)

        yield start
