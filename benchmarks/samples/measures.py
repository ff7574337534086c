"""How each shape of raw and headrace is measured: as the peers' are, and a few shapes that peers don't have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.peers.samples import aio
from benchmarks.protocol import Arguments, Meter, Sample, cold, peak, reset_peak, rss

Measure = Callable[[aio.Work, Arguments], Awaitable[Sample]]

LEVEL = 50_000  # inputs of a stream after which memory is level


async def submitted(work: aio.Work, arguments: Arguments) -> Sample:
    """Give --n inputs at once to what takes any number; extra memory at the peak."""
    assert work.duplex is not None
    await work.duplex(aio.WARM_CALLS)
    before = reset_peak()
    meter = Meter()
    await work.duplex(arguments.n)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, peak() - before)


async def long_stream(work: aio.Work, arguments: Arguments) -> Sample:
    """Send --n inputs through one stream; how far the memory has drifted since a warm-up that makes it level."""
    assert work.duplex is not None
    await work.duplex(min(arguments.n, LEVEL))
    before = rss()
    meter = Meter()
    await work.duplex(arguments.n)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, rss() - before)


async def live(work: aio.Work, arguments: Arguments) -> Sample:
    """Send --n frames through one stream to a server that takes its time; the wall time counts."""
    assert work.duplex is not None
    await work.duplex(1)
    meter = Meter()
    await work.duplex(arguments.n)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s)


MEASURES = {
    **aio.MEASURES,
    "hop": aio.duplex,
    "bulk": aio.duplex,
    "bulk_stream": aio.duplex,
    "gathered": aio.at_once,
    "live": live,
    "long_stream": long_stream,
}


def shapes(connect: aio.Connect, **others: Measure) -> Mapping[str, Callable[[Arguments], Sample]]:
    """Make all shapes of a client that `connect` gives; `others` are measured in another way than usual."""
    measures: dict[str, Measure] = {**MEASURES, **others}

    async def measured(arguments: Arguments) -> Sample:
        async with connect(arguments) as work:
            return await measures[arguments.shape](work, arguments)

    return dict.fromkeys(measures, lambda arguments: asyncio.run(measured(arguments)))


def cold_shapes(importing: str, calling: str) -> Mapping[str, Callable[[Arguments], Sample]]:
    """Make the shapes of a fresh interpreter: the statements that import and make a client, and that make a call."""
    return {
        "cold_import": lambda arguments: cold(importing, arguments.n),
        "cold_call": lambda arguments: cold(calling.replace("ADDRESS", arguments.address), arguments.n),
    }
