"""The server in a process that traces gRPC servers: every shape is answered, refused calls too."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TRACERS = {
    "opentelemetry": "from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer as I; I().instrument()",
    "sentry_sdk": "import sentry_sdk as s; from sentry_sdk.integrations.grpc import GRPCIntegration as I; "
    "s.init(dsn=None, traces_sample_rate=1.0, integrations=[I()], default_integrations=False)",
}
USE = """
import asyncio, pathlib, sys
from headrace import AuthError, Client
from headrace.server.app import serving
from headrace.server.options import Options
from tests.support.shapes import SHAPES

TEXTS = [f"text{n}" for n in range(8)]  # echo generates word by word

async def main():
    {turn_on}
    options = Options(models=("echo",), unix=pathlib.Path(sys.argv[1]) / "s", require_pat="secret")
    async with serving(options) as running:
        async with Client(base_url=running.address, pat="secret") as client:
            model = client.model(user_id="u", app_id="a", model_id="echo")
            for name, shape in SHAPES.items():
                outcomes = await shape(model, TEXTS, "text")
                texts = [outcomes[n].text if not isinstance(outcomes[n], Exception) else outcomes[n] for n in range(8)]
                assert texts == TEXTS, (name, texts)
            assert [p.text async for p in model.stream(TEXTS, "text", matched=False)] == TEXTS
            assert (await client.model(user_id="u", app_id="a", model_id="echo").info()).id == "echo"
        async with Client(base_url=running.address, pat="another") as client:
            stranger = client.model(user_id="u", app_id="a", model_id="echo")
            for name, shape in SHAPES.items():
                try:
                    outcomes = await shape(stranger, ["text"], "text")
                except AuthError:
                    continue
                assert isinstance(outcomes[0], AuthError), (name, outcomes)

asyncio.run(main())
"""


@pytest.mark.parametrize("name", TRACERS)
def test_every_shape_is_answered_in_a_traced_server(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    script = USE.replace("{turn_on}", TRACERS[name])
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=90)
    assert run.returncode == 0, run.stderr[-3000:]
