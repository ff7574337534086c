"""The shapes over whatever an asyncio client offers: a call, a token stream, a duplex stream. Standard library only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.protocol import Arguments, Meter, Sample, peak, reset_peak, rss

WARM_CALLS = 200
WARM_INPUTS = 2000
LEVEL = 50_000  # inputs of a stream after which memory is level


async def _nothing() -> None:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Work:
    """What a connected client does for one unit, from building the input to reading the answer.

    Args:
        call: makes one call.
        tokens: reads one token stream to its end; gives its messages.
        duplex: sends so many inputs through one stream and reads as many answers.
    """

    call: Callable[[], Coroutine[Any, Any, None]] = _nothing
    tokens: Callable[[], Awaitable[int]] | None = None
    duplex: Callable[[int], Awaitable[None]] | None = None


Connect = Callable[[Arguments], AbstractAsyncContextManager[Work]]


async def calls(call: Callable[[], Awaitable[None]], number: int, at_once: int) -> None:
    """Make so many calls, `at_once` at a time."""
    remaining = iter(range(number))

    async def worker() -> None:
        for _ in remaining:
            await call()

    await asyncio.gather(*(worker() for _ in range(min(number, at_once))))


async def unary(work: Work, arguments: Arguments) -> Sample:
    """Make --n calls, --concurrency at once."""
    await calls(work.call, min(arguments.n, max(WARM_CALLS, arguments.concurrency)), arguments.concurrency)
    meter = Meter()
    await calls(work.call, arguments.n, arguments.concurrency)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s)


async def fixed(work: Work, arguments: Arguments) -> Sample:
    """Start --rate calls a second for --seconds, each in a task of its own."""
    await calls(work.call, WARM_CALLS, 16)
    loop = asyncio.get_running_loop()
    number = round(arguments.rate * arguments.seconds)
    running: set[asyncio.Task[None]] = set()
    meter = Meter()
    start = loop.time()
    for index in range(number):
        wait = start + index / arguments.rate - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        task = loop.create_task(work.call())
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    meter.stop()
    return Sample("", "", number, meter.cpu_s, meter.wall_s)


async def upload(work: Work, arguments: Arguments) -> Sample:
    """Make --n calls with a large payload, --concurrency at once; extra memory at the peak."""
    await calls(work.call, arguments.concurrency, arguments.concurrency)
    before = reset_peak()
    meter = Meter()
    await calls(work.call, arguments.n, arguments.concurrency)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, peak() - before)


async def at_once(work: Work, arguments: Arguments) -> Sample:
    """Submit --n calls at once; extra memory at the peak."""
    await calls(work.call, WARM_CALLS, 64)
    before = reset_peak()
    meter = Meter()
    await asyncio.gather(*(work.call() for _ in range(arguments.n)))
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, peak() - before)


async def tokens(work: Work, arguments: Arguments) -> Sample:
    """Read whole streams, --concurrency at once, until at least --n messages have come; one before, as a warm-up."""
    assert work.tokens is not None
    await work.tokens()
    count = 0
    meter = Meter()
    while count < arguments.n:
        read = await asyncio.gather(*(work.tokens() for _ in range(arguments.concurrency)))
        count += sum(read)
    meter.stop()
    return Sample("", "", count, meter.cpu_s, meter.wall_s)


async def duplex(work: Work, arguments: Arguments) -> Sample:
    """Send --n inputs through one stream, after another stream as a warm-up."""
    assert work.duplex is not None
    await work.duplex(min(arguments.n, LEVEL if arguments.shape == "long_stream" else WARM_INPUTS))
    before = rss()
    meter = Meter()
    await work.duplex(arguments.n)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, rss() - before)


MEASURES = {
    "unary": unary,
    "unary_fixed": fixed,
    "bulk": unary,
    "upload": upload,
    "at_once": at_once,
    "tokens_burst": tokens,
    "tokens_paced": tokens,
    "duplex": duplex,
    "long_stream": duplex,
}


def shapes(connect: Connect, *names: str) -> Mapping[str, Callable[[Arguments], Sample]]:
    """Make the shapes called `names` of a client that `connect` gives."""

    async def measured(arguments: Arguments) -> Sample:
        async with connect(arguments) as work:
            return await MEASURES[arguments.shape](work, arguments)

    return dict.fromkeys(names, lambda arguments: asyncio.run(measured(arguments)))
