"""What a process imports until its first call over the lean transport has its answer."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.rig import rigged

pytestmark = pytest.mark.core

#: Each costs a short-lived process more than the call itself.
HEAVY = (
    "concurrent.futures.thread",
    "difflib",
    "email",
    "encodings.idna",
    "grpc",
    "html",
    "http.client",
    "importlib.metadata",
    "importlib.util",
    "ipaddress",
    "json",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "tempfile",
    "urllib",
    "uuid",
)
#: What only streams, lists of inputs, files, pictures, listeners, TLS and failures use.
OF_OTHER_CALLS = (
    "headrace.calls.base",
    "headrace.calls.batching",
    "headrace.calls.duplex",
    "headrace.calls.feeder",
    "headrace.calls.generate",
    "headrace.calls.hedge",
    "headrace.calls.retry",
    "headrace.calls.stats",
    "headrace.calls.streams",
    "headrace.calls.unary.lists",
    "headrace.events",
    "headrace.flow.pipe",
    "headrace.inputs.kinds",
    "headrace.inputs.loading",
    "headrace.inputs.reading",
    "headrace.sources.iterables",
    "headrace.support.threads",
    "headrace.transport.authorities",
    "headrace.transport.h2.tls",
)
#: Modules of our own that a first call imports.
OWN = 100
SCRIPT = f"""
import asyncio, sys
before = set(sys.modules)
import headrace
async def main():
    async with headrace.Client(base_url=sys.argv[1], transport="h2") as client:
        print((await client.model("u/a/models/m").predict("text")).text)
asyncio.run(main())
print([name for name in {HEAVY + OF_OTHER_CALLS!r} if name in sys.modules.keys() - before])
print(sum(name.split(".")[0] == "headrace" for name in sys.modules) <= {OWN})
"""


async def test_a_first_call_imports_no_grpc_and_nothing_else_that_it_does_not_use(tmp_path: Path) -> None:
    async with rigged("h2", tmp_path, tcp=True) as rig:
        assert rig.server is not None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCRIPT, rig.server.address),
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )
        output, _ = await process.communicate()
        assert output.decode() == "text\n[]\nTrue\n"
