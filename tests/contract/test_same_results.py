"""Random calls over grpc and over the lean transport to one server: the same results.

A few hundred run with the tests, ten thousand in `make conformance`. Every call comes from a number.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from grpc import aio

from headrace.config import Transmission
from headrace.errors import HeadraceError
from headrace.target import Target
from headrace.transport.base import Call, Transport
from headrace.transport.grpc.client import GrpcTransport
from headrace.transport.h2.transport import H2Transport

METHOD = "/test.T/Obey"
SIZES = (0, 1, 5, 100, 1_000, 16_384, 70_000, 400_000)
TEXTS = ("", "no", "50% of it", "\u263a \U0001f608", "a\tb\r\nc", "x" * 3_000, "a  b", "%20", '"quoted"')
NAMES = ("x-one", "x-two", "x-three")
AT_ONCE = 20


# -- the server


async def obey(_: Any, context: Any) -> None:
    """Do what the first message says; later ones are counted."""
    first = await context.read()
    line, _, filler = bytes(first).partition(b"\n")
    orders = json.loads(line)
    if orders["gzip"]:
        context.set_compression(grpc.Compression.Gzip)
    sizes = [len(filler)]
    if orders["reads_all"]:
        while (message := await context.read()) is not aio.EOF:
            sizes.append(len(message))
    seen = sorted(
        (key, value if isinstance(value, str) else value.hex())
        for key, value in context.invocation_metadata() or ()
        if key.startswith("x-")
    )
    told = json.dumps([sizes, seen, context.time_remaining() is not None]).encode()
    for number, size in enumerate(orders["answers"]):
        await context.write(told + b"\n" + bytes((number,)) * size)
    if orders["hangs"]:
        await asyncio.Event().wait()
    if orders["status"]:
        trailers = [(name, value) for name, value in orders["trailers"]]
        if orders["details"]:
            trailers.append(("grpc-status-details-bin", bytes.fromhex(orders["details"])))
        await context.abort(_CODES[orders["status"]], orders["text"], tuple(trailers))


_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _Handler(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(cast("Any", obey))


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[Transport, Transport]]:
    """Give two transports to one server."""
    server = aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((_Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = Target.parse(f"http://127.0.0.1:{port}")
    transports = GrpcTransport(target, Transmission()), H2Transport(target, Transmission())
    try:
        yield transports
    finally:
        for transport in transports:
            await transport.close(0)
        await server.stop(0)


# -- a call


def planned(number: int) -> dict[str, Any]:
    """Plan a call."""
    dice = random.Random(number)
    shape = dice.choice(("unary", "answers", "duplex"))
    ending = dice.choices(("status", "deadline", "cancel"), (90, 4, 6))[0]
    status = dice.choice((0, 0, 0, *range(1, 17))) if ending == "status" else 0
    answers = [dice.choice(SIZES) for _ in range(dice.randrange(5))]
    if shape == "unary":
        answers = [dice.choice(SIZES)] if not status and ending == "status" else []
    trailers = [["grpc-retry-pushback-ms", "250"]] if dice.random() < 0.1 else []
    trailers += [["retry-after", "3"]] if dice.random() < 0.1 else []
    metadata = [(name, "".join(dice.choices("ab c-0", k=dice.randrange(1, 9))).strip() or "v") for name in NAMES]
    return {
        "shape": shape,
        "ending": ending,
        "timeout": {"deadline": 0.3, "cancel": None}.get(ending, dice.choice((None, 30.0, 1e9))),
        "metadata": tuple(dice.choices(metadata, k=dice.randrange(4))),
        "requests": [dice.choice(SIZES) for _ in range(dice.randrange(4) if shape == "duplex" else 0)],
        "filler": dice.choice(SIZES),
        "reads": dice.randrange(len(answers) + 1),
        "orders": {
            "answers": answers if ending != "deadline" else [],
            "hangs": ending != "status",
            "status": status,
            "text": dice.choice(TEXTS),
            "details": "1a060a01741201" + "76" if dice.random() < 0.2 else "",
            "trailers": trailers,
            "gzip": dice.random() < 0.2,
            "reads_all": ending == "status",
        },
    }


async def result(transport: Transport, plan: dict[str, Any]) -> list[Any]:
    """Make a call, and give all that its caller can see."""
    first = json.dumps(plan["orders"]).encode() + b"\n" + bytes(plan["filler"])
    seen: list[Any] = []
    try:
        if plan["shape"] == "unary":
            await _unary(transport, plan, first, seen)
        elif plan["shape"] == "answers":
            await _read(transport.open(METHOD, plan["metadata"], timeout=plan["timeout"], first=[first]), plan, seen)
        else:
            call = transport.open(METHOD, plan["metadata"], timeout=plan["timeout"])
            with contextlib.suppress(HeadraceError):  # it has ended, on a busy machine: reading says how
                await call.write([first])
                for size in plan["requests"]:
                    await call.write([b"", bytes(size)])
                await call.half_close()
            await _read(call, plan, seen)
    except HeadraceError as error:
        facts = ("status", "name", "unprocessed", "permanent", "http_status", "retry_after", "status_details")
        seen.append((type(error).__name__, [getattr(error, fact, None) for fact in facts], _text(error)))
    except asyncio.CancelledError:
        seen.append("cancelled")
    return seen


async def _unary(transport: Transport, plan: dict[str, Any], first: bytes, seen: list[Any]) -> None:
    call = asyncio.ensure_future(transport.unary(METHOD, [first], plan["metadata"], plan["timeout"]))
    if plan["ending"] == "cancel":
        await asyncio.sleep(0.01)
        call.cancel()
    seen.append(_short(await call))


async def _read(call: Call, plan: dict[str, Any], seen: list[Any]) -> None:
    while True:
        if plan["ending"] == "cancel" and len(seen) == plan["reads"]:
            call.cancel()
            plan = {**plan, "ending": "cancelled"}
        answer = await call.read()
        if answer is None:
            return
        if plan["ending"] != "cancelled":  # what has arrived before a cancel may be handed out, or not
            seen.append(_short(answer))


def _short(answer: bytes) -> tuple[str, int, str]:
    head, _, content = answer.partition(b"\n")
    return head.decode(), len(content), hashlib.sha256(content).hexdigest()[:8]


def _text(error: HeadraceError) -> str:
    """Give the server's text; that of a local end is each transport's own."""
    return getattr(error, "description", "")


async def compare(first: int, count: int) -> Counter[str]:
    """Make calls over both transports, some at once; gives how they ended."""
    endings: Counter[str] = Counter()
    async with both() as (ours, theirs):

        async def one(number: int) -> None:
            plan = planned(number)
            left, right = await asyncio.gather(result(ours, plan), result(theirs, plan))
            assert left == right, f"call {number}: {plan}\n{left}\n{right}"
            last = left[-1] if left else "nothing"
            endings[last[0] if last[0] in ("ConnectionLost", "DeadlineExceeded") else plan["ending"]] += 1

        for start in range(first, first + count, AT_ONCE):
            await asyncio.gather(*(one(number) for number in range(start, min(start + AT_ONCE, first + count))))
    return endings


async def test_a_few_hundred_random_calls_end_the_same() -> None:
    endings = await compare(0, 300)
    assert endings["DeadlineExceeded"] > 5
    assert endings.total() == 300


@pytest.mark.conformance
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", range(10))
async def test_ten_thousand_random_calls_end_the_same(block: int) -> None:
    assert (await compare(1_000 * block, 1_000)).total() == 1_000
