"""Processes that instrument gRPC: every call shape works, and every call is seen."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from headrace.config import Target, Transmission
from headrace.testing import GrpcFail
from headrace.transport.choice import choose
from tests.support.rig import rigged

pytestmark = pytest.mark.core

seen: list[str] = []


def method_of(details: Any) -> str:
    method = details.method
    return method.decode() if isinstance(method, bytes) else str(method)


class UnaryUnary(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        seen.append(method_of(details))
        return await continuation(details, request)


class StreamStream(aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        seen.append(method_of(details))
        return await continuation(details, requests)


class Wrapping(aio.StreamStreamClientInterceptor):
    """As tracing tools do: hands on an iterator of its own."""

    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        seen.append(method_of(details))
        call = await continuation(details, requests)

        async def answers() -> Any:
            async for answer in call:
                yield answer

        return answers()


@pytest.fixture(params=[StreamStream, Wrapping])
def instrumented(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    plain = aio.insecure_channel
    both = [UnaryUnary(), request.param()]
    monkeypatch.setattr(aio, "insecure_channel", lambda target, options: plain(target, options, interceptors=both))


async def test_every_shape_works_and_is_seen(instrumented: None, tmp_path: Path) -> None:
    async with rigged(
        "grpc", tmp_path, lambda item: [item.text, "!"] if item.shape == "generate" else item.text
    ) as rig:
        model = rig.model
        found = await asyncio.gather(*(model.predict_by_bytes(b"%d" % n, "text") for n in range(20)))
        assert [prediction.text for prediction in found] == [str(n) for n in range(20)]
        assert (await model.predict_by_bytes(bytes(2 << 20).replace(b"\0", b"x"), "text")).text == "x" * (2 << 20)
        assert await model.generate_by_bytes(b"token", "text").text() == "token!"
        async with model.stream_by_bytes([b"%d" % n for n in range(100)], "text") as stream:
            assert [prediction.text async for prediction in stream] == [str(n) for n in range(100)]
        shapes = [method.rpartition("/")[2] for method in seen]
        assert (shapes.count("PostModelOutputs"), shapes.count("GenerateModelOutputs")) == (21, 1)
        assert shapes.count("StreamModelOutputs") == 1


async def test_failures_and_early_ends_are_the_same(instrumented: None, tmp_path: Path) -> None:
    def function(item: Any) -> Any:
        return GrpcFail("UNAUTHENTICATED", "no") if item.text == "bad" else [item.text] * 100

    async with rigged("grpc", tmp_path, function) as rig:
        from headrace import AuthError

        with pytest.raises(AuthError):
            await rig.model.predict_by_bytes(b"bad", "text")
        with pytest.raises(AuthError):
            await rig.model.generate_by_bytes(b"bad", "text").text()
        async with rig.model.generate_by_bytes(b"x", "text") as stream:
            async for _ in stream:
                break
        with pytest.raises(AuthError):
            async with rig.model.stream_by_bytes([b"bad"], "text") as inputs:
                async for _ in inputs:
                    pass


#: Modules of real tracers, and how they are turned on; each in a process of its own, for they patch gRPC for good.
TRACERS = {
    "opentelemetry": "from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient as I; I().instrument()",
    "sentry_sdk": "import sentry_sdk as s; from sentry_sdk.integrations.grpc import GRPCIntegration as I; "
    "s.init(dsn=None, traces_sample_rate=1.0, integrations=[I()], default_integrations=False)",
    "ddtrace": "import ddtrace; ddtrace.patch(grpc=True)",
}
USE = """
import asyncio, sys
from grpc import aio
from headrace import Client
from headrace.testing import ModelDouble
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL
from tests.support.shapes import SHAPES

TEXTS = [f"text {n}" for n in range(8)]

async def every_shape(model):
    for name, shape in SHAPES.items():
        outcomes = await shape(model, TEXTS, "text")
        assert [outcomes[n].text for n in range(8)] == TEXTS, name
    assert [p.text async for p in model.stream(TEXTS, "text", matched=False)] == TEXTS

async def restarted(server, model):
    async def slowly():
        for number in range(40):
            if number == 20:
                await server.stop()
                await server.start()
            yield str(number)
    async with model.stream_by_bytes(slowly(), "text", timeout=20) as stream:
        assert [p.text async for p in stream] == [str(n) for n in range(40)]

async def main():
    async with GrpcServer(ModelDouble(lambda item: item.text), "unix:" + sys.argv[1] + "/s") as server:
        plain = aio.server
        {turn_on}
        aio.server = plain  # the client is what is looked at; our server has tests of its own
        for coalesce in (False, True):
            async with Client(base_url=server.address, coalesce=coalesce) as client:
                model = client.model(**MODEL)
                await every_shape(model)
                await restarted(server, model)
                await every_shape(model)
                connections = client._open_session().channels.connections
                assert {type(connection.transport).__name__ for connection in connections} == {"GrpcTransport"}

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "auto" mean what it means by itself."""
    monkeypatch.delenv("HEADRACE_TRANSPORT", raising=False)


def test_a_client_made_before_grpc_was_instrumented_or_by_name_stays_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target.parse("http://localhost:1")
    made_before = choose("auto", print)
    assert type(made_before(target, Transmission())).__name__ == "FallbackTransport"
    monkeypatch.setattr(aio, "secure_channel", lambda *arguments: None)
    assert type(choose("auto", print)(target, Transmission())).__name__ == "GrpcTransport"
    assert type(made_before(target, Transmission())).__name__ == "FallbackTransport"
    assert type(choose("h2", print)(target, Transmission())).__name__ == "H2Transport"


@pytest.mark.parametrize("name", TRACERS)
def test_a_real_tracer_sees_every_call(name: str, tmp_path: Path) -> None:
    missing = importlib.util.find_spec(name) is None
    if missing or (name == "opentelemetry" and importlib.util.find_spec("opentelemetry.instrumentation") is None):
        pytest.skip(f"{name} is not installed")
    script = USE.replace("{turn_on}", TRACERS[name])
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
