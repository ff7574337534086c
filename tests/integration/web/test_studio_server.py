"""What Studio's page talks to: its files, one call by plain HTTP, and its sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import headrace
from headrace.server.model import Card, Item
from tests.support.door import Door, Talker

DIST = Path(headrace.__file__).parent / "web" / "studio" / "dist"


class Namer:
    """Name a picture by its size."""

    card = Card("namer", "visual-classifier", "Namer", "Names sizes.", ("image",), ("concepts",), weak_at="all else")

    def predict(self, item: Item) -> list[tuple[str, float]]:
        """Name one."""
        return [(f"{len(item.image or b'')} bytes", 0.5)]


@pytest.fixture
async def studio(open_door: Any) -> Door:
    """Studio in front of small models of the tests."""
    Talker.running = Talker.begun = 0
    made: Door = await open_door(Talker, Namer, models=())
    return made


def test_the_built_page_is_small() -> None:
    files = [path for path in DIST.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".html", ".js", ".css", ".svg"}
    scripts = [path.read_bytes() for path in files if path.suffix in (".js", ".css")]
    assert sum(len(gzip.compress(content, 9)) for content in scripts) <= 90_000
    assert sum(path.stat().st_size for path in files) <= 250_000
    assert not any(b"https://cdn" in content for content in scripts)


async def test_the_page_comes_with_a_strict_policy_and_nothing_else_can_be_read(studio: Door) -> None:
    page = await studio.http.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    name = next(path.name for path in DIST.rglob("*.js"))
    asset = await studio.http.get(f"/assets/{name}")
    assert asset.headers["content-type"].startswith("text/javascript")
    assert "immutable" in asset.headers["cache-control"]
    for path in ("/assets/nothing.js", "/assets/..%2findex.html", "/assets/%2e%2e%2f__init__.py", "/assets/routes.py"):
        assert (await studio.http.get(path)).status_code == 404


async def test_models_are_told_with_what_they_are_bad_at_and_their_parameters(studio: Door) -> None:
    told = (await studio.http.get("/api/models")).json()
    assert [(m["id"], m["inputs"], m["weak_at"]) for m in told["models"]] == [
        ("talker", ["text"], ""),
        ("namer", ["image"], "all else"),
    ]
    parameters = (await studio.http.get("/api/models/talker")).json()["parameters"]
    assert ("max_tokens", "int", "1000") in [(one["name"], one["type"], one["default"]) for one in parameters]
    assert (await studio.http.get("/api/models/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "answer"),
    [
        ("talker", b"one two", "text/plain", 200, "one two"),
        ("talker", b"one two", "", 200, "one two"),
        ('talker?params={"max_tokens":1}', b"one two", "text/plain", 200, "one"),
        ("talker?params=7", b"one", "text/plain", 400, "params must be a JSON object"),
        ("talker", b"\xff\xfe", "text/plain", 400, "is not UTF-8"),
        ("namer", b"12345", "image/png", 200, "5 bytes"),
        ("namer", b"12345", "text/plain", 400, "takes image, not text"),
        ("nobody", b"", "text/plain", 404, "does not exist"),
    ],
)
async def test_one_call_by_plain_http(
    studio: Door, path: str, content: bytes, kind: str, status: int, answer: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    got = await studio.http.post(f"/api/predict/{path}", content=content, headers=headers)
    assert got.status_code == status
    assert answer in got.text


async def test_pages_of_other_origins_are_kept_out(studio: Door) -> None:
    foreign = {"origin": "http://evil.example"}
    assert (await studio.http.post("/api/predict/talker", content=b"hi", headers=foreign)).status_code == 403
    async with aiohttp.ClientSession() as session:
        for path in ("run", "camera", "live"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{studio.address}/api/{path}", headers=foreign)
            assert refused.value.status == 403


async def test_the_token_opens_the_sockets_and_the_page_needs_none(open_door: Any) -> None:
    door: Door = await open_door(Talker, models=(), api_key="right")
    assert (await door.http.get("/")).status_code == 200
    assert (await door.http.get("/api/models")).status_code == 401
    assert (await door.http.get("/api/models", headers={"authorization": "Bearer right"})).status_code == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{door.address}/api/run?token=wrong")
        async with session.ws_connect(f"{door.address}/api/run?token=right") as ws:
            await ws.send_json({"model": "talker", "kind": "text", "text": "one"})
            assert await ws.receive_json() == {"text": "one"}


async def messages(door: Door, order: Any, content: bytes | None = None) -> list[Any]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{door.address}/api/run") as ws:
        await ws.send_str(order if isinstance(order, str) else json.dumps(order))
        if content is not None:
            await ws.send_bytes(content)
        return [json.loads(message.data) async for message in ws]


async def test_a_run_tells_its_pieces_and_its_cost(studio: Door) -> None:
    order = {"model": "talker", "kind": "text", "text": "a b", "params": {"max_tokens": 9}}
    done = {"done": {"prompt_tokens": 2, "completion_tokens": 2}}
    assert await messages(studio, order) == [{"text": "a"}, {"text": " b"}, {"text": ""}, done]
    [answer, _] = await messages(studio, {"model": "namer", "kind": "image", "content": True}, b"1234")
    assert answer["outputs"][0]["data"]["concepts"][0]["name"] == "4 bytes"


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ("no json", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ({"model": "nobody", "kind": "text", "text": "x"}, "does not exist"),
        ({"model": "namer", "kind": "text", "text": "x"}, "takes image, not text"),
        ({"model": "talker", "kind": "text", "text": "FAIL"}, "asked to fail"),
    ],
)
async def test_what_cannot_be_run_is_told(studio: Door, order: Any, problem: str) -> None:
    last = (await messages(studio, order))[-1]
    assert problem in last["error"]["message"]


async def test_the_newest_frame_waits_and_older_ones_are_counted(studio: Door) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{studio.address}/api/camera") as ws:
        await ws.send_json({"model": "namer", "window": 1})
        for number in range(60):
            await ws.send_bytes(b"x" * (number + 1))
        answers: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not answers or answers[-1]["frame"] < 59:
                answers.append(await ws.receive_json())
        last = answers[-1]
    assert [one["frame"] for one in answers] == sorted({one["frame"] for one in answers})
    for one in answers:
        name = one["prediction"]["outputs"][0]["data"]["concepts"][0]["name"]
        assert name == f"{one['frame'] + 1} bytes"  # each answer is that of its own frame
    assert len(answers) + last["dropped"] == 60


async def counts(ws: Any, until: Any) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not until(told := await ws.receive_json()):
            pass
    return dict(told)


async def test_the_live_stream_does_what_the_sliders_say(studio: Door) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{studio.address}/api/live") as ws:
        await ws.send_json({"rate": 200, "delay": 0.2, "window": 4, "prefetch": 2})
        full = await counts(ws, lambda told: told["in_flight"] == 4 and told["queued"] >= 2)
        assert full["totals"].get("drop:drop_oldest", 0) == 0
        await ws.send_json({"overflow": "drop_oldest"})
        await counts(ws, lambda told: told["totals"].get("drop:drop_oldest", 0) > 20)
        await ws.send_json({"failures": 0.5, "delay": 0.01})
        await counts(ws, lambda told: told["totals"]["retries"] > 3)
        await ws.send_json({"window": 16})
        await counts(ws, lambda told: told["window"] == 16 and told["totals"]["received"] > full["totals"]["received"])
        await ws.send_str("nonsense")
        await ws.send_json({"window": 1000})
        assert (await counts(ws, lambda told: True))["window"] == 16


async def test_a_wrong_setting_at_the_beginning_is_told(studio: Door) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{studio.address}/api/live") as ws:
        await ws.send_json({"window": 0})
        assert "settings are wrong" in (await ws.receive_json())["error"]["message"]
