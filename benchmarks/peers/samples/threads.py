"""The shapes over a blocking call in a pool of threads. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.protocol import Arguments, Meter, Sample, peak, reset_peak

WARM_CALLS = 200
THREADS = 64  # of a pool that is given more calls than it can make at once


def run(pool: ThreadPoolExecutor, call: Callable[[], object], number: int, at_once: int) -> None:
    """Make so many calls, `at_once` at a time."""
    remaining = iter(range(number))  # one step of it is atomic

    def worker() -> None:
        for _ in remaining:
            call()

    for done in [pool.submit(worker) for _ in range(min(number, at_once))]:
        done.result()


def unary(call: Callable[[], object], arguments: Arguments) -> Sample:
    """Make --n calls in --concurrency threads; extra memory at the peak."""
    with ThreadPoolExecutor(arguments.concurrency) as pool:
        warm = arguments.concurrency if arguments.shape == "upload" else max(WARM_CALLS, arguments.concurrency)
        run(pool, call, min(arguments.n, warm), arguments.concurrency)
        before = reset_peak()
        meter = Meter()
        run(pool, call, arguments.n, arguments.concurrency)
        meter.stop()
        return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, peak() - before)


def fixed(call: Callable[[], object], arguments: Arguments) -> Sample:
    """Start --rate calls a second for --seconds; --concurrency threads take turns and share no queue."""
    number = round(arguments.rate * arguments.seconds)
    threads = max(1, arguments.concurrency)

    def worker(first: int, start: float) -> None:
        for index in range(first, number, threads):
            wait = start + index / arguments.rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            call()

    with ThreadPoolExecutor(threads) as pool:
        run(pool, call, WARM_CALLS, threads)
        meter = Meter()
        start = time.perf_counter()
        for done in [pool.submit(worker, first, start) for first in range(threads)]:
            done.result()
        meter.stop()
    return Sample("", "", number, meter.cpu_s, meter.wall_s)


def at_once(call: Callable[[], object], arguments: Arguments) -> Sample:
    """Submit --n calls at once to 64 threads; extra memory at the peak."""
    with ThreadPoolExecutor(THREADS) as pool:
        run(pool, call, WARM_CALLS, THREADS)
        before = reset_peak()
        meter = Meter()
        for done in [pool.submit(call) for _ in range(arguments.n)]:
            done.result()
        meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, peak() - before)


def tokens(read: Callable[[], int], arguments: Arguments) -> Sample:
    """Read whole streams in --concurrency threads until at least --n messages have come; one before, as a warm-up."""
    count = 0
    with ThreadPoolExecutor(arguments.concurrency) as pool:
        read()
        meter = Meter()
        while count < arguments.n:
            count += sum([done.result() for done in [pool.submit(read) for _ in range(arguments.concurrency)]])
        meter.stop()
    return Sample("", "", count, meter.cpu_s, meter.wall_s)
