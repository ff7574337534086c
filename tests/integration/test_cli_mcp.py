"""`headrace mcp` as hosts start it: over stdin and stdout, and over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
from pathlib import Path
from typing import Any

import mcp
import pytest
from mcp.client.stdio import StdioServerParameters

from headrace.testing import ModelDouble, ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.bridge import serving
from tests.support.cli import CANARY, Run
from tests.support.commands import HEADRACE, running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
URL = "https://clarifai.com/u/a/models/m"
MESSAGES: list[dict[str, Any]] = [
    {
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/list"},
    {"id": 3, "method": "tools/call", "params": {"name": "painter", "arguments": {"text": "a cup"}}},
]


def painted(item: ReceivedInput) -> pb.Data:
    return pb.Data(image=pb.Image(base64=PNG), text=pb.Text(raw=f"{item.text}!"))


async def test_stdout_has_the_protocol_alone_and_the_end_of_stdin_ends_it(environment: dict[str, str]) -> None:
    async with serving(ModelDouble(painted)) as api:
        process = await asyncio.create_subprocess_exec(
            *[*HEADRACE, "mcp", "--base_url", api.address, "--model", f"painter={URL}"],
            env={**environment, "CLARIFAI_PAT": CANARY},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for message in MESSAGES:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            await process.stdin.drain()
            if "id" in message:
                answers.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 60)))
        process.stdin.close()
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out) == (0, b"")
    assert err.decode() == "headrace: offering 1 model: painter\n"
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert answers[0]["result"]["serverInfo"]["name"] == "headrace"
    assert [tool["name"] for tool in answers[1]["result"]["tools"]] == ["painter"]
    text, picture = answers[2]["result"]["content"]
    assert text["text"] == "a cup!"
    assert (picture["mimeType"], base64.b64decode(picture["data"])) == ("image/png", PNG)
    assert CANARY not in json.dumps(answers) + err.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_while_it_waits_for_a_line(number: int, environment: dict[str, str]) -> None:
    async with serving(ModelDouble(painted)) as api:
        process = await asyncio.create_subprocess_exec(
            *[*HEADRACE, "mcp", "--base_url", api.address, "--model", f"painter={URL}"],
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **MESSAGES[0]}).encode() + b"\n")
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["id"] == 1
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_a_client_that_cancels_stops_the_model_over_stdio(environment: dict[str, str]) -> None:
    async def silent(item: ReceivedInput) -> str:
        await asyncio.Event().wait()
        return ""

    double = ModelDouble(silent)
    async with serving(double) as api:
        command = StdioServerParameters(
            command=sys.executable,
            args=[*HEADRACE[1:], "mcp", "--base_url", api.address, "--model", f"slow={URL}"],
            env=environment,
        )
        async with mcp.Client(command) as client:
            call = asyncio.create_task(client.call_tool("slow", {"text": "x"}))
            await double.received(1, timeout=60)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await double.server.until(lambda: double.server.calls[-1].cancelled)


@pytest.mark.models
async def test_embedded_models_over_stdio(environment: dict[str, str]) -> None:
    samples = Path(__file__).parents[2] / "src/headrace/data/samples"
    command = StdioServerParameters(
        command=sys.executable,
        args=[*HEADRACE[1:], "mcp", "--local", "--model", "find=nanodet-g", "--allow-path", str(samples)],
        env=environment,
    )
    async with mcp.Client(command) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "find"
        result: Any = await client.call_tool("find", {"image": "photos/cat.jpg"})
        assert [block.type for block in result.content] == ["text", "image"]
        assert result.content[0].text.startswith("cat 0.")
        refused: Any = await client.call_tool("find", {"image": "../labels/coco.txt"})
        assert refused.is_error
        assert "no file" in refused.content[0].text


async def test_over_http_on_loopback(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with serving(ModelDouble(painted)) as api:
        with running(
            *["mcp", "--base_url", api.address, "--model", f"painter={URL}", "--http"], says="MCP at "
        ) as address:
            assert address.startswith("http://127.0.0.1:")
            async with mcp.Client(address) as client:
                result: Any = await client.call_tool("painter", {"text": "a cup"})
                assert result.content[0].text == "a cup!"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which models? Name them"),
        (["--model", "m=https://clarifai.com/u/a/models/m", "--allow-path", "missing"], "does not exist"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], words: str, run_here: Run) -> None:
    done = run_here("mcp", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_without_the_package_the_extra_is_named(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("headrace.integrations.mcp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    done = run_here("mcp", "--local")
    assert done.returncode == 2
    assert "this needs mcp: pip install" in done.stderr
    assert "[mcp]" in done.stderr
