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
    left = iter(range(number))  # one step of it is atomic

    def worker() -> None:
        for _ in left:
            call()

    for done in [pool.submit(worker) for _ in range(min(number, at_once))]:
        done.result()


def unary(call: Callable[[], object], given: Arguments) -> Sample:
    """Make --n calls in --concurrency threads; extra memory at the peak."""
    with ThreadPoolExecutor(given.concurrency) as pool:
        warm = given.concurrency if given.shape == "upload" else max(WARM_CALLS, given.concurrency)
        run(pool, call, min(given.n, warm), given.concurrency)
        before = reset_peak()
        meter = Meter()
        run(pool, call, given.n, given.concurrency)
        meter.stop()
        return Sample("", "", given.n, meter.cpu_s, meter.wall_s, peak() - before)


def fixed(call: Callable[[], object], given: Arguments) -> Sample:
    """Start --rate calls a second for --seconds; --concurrency threads take turns and share no queue."""
    number = round(given.rate * given.seconds)
    threads = max(1, given.concurrency)

    def worker(first: int, start: float) -> None:
        for index in range(first, number, threads):
            wait = start + index / given.rate - time.perf_counter()
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


def at_once(call: Callable[[], object], given: Arguments) -> Sample:
    """Submit --n calls at once to 64 threads; extra memory at the peak."""
    with ThreadPoolExecutor(THREADS) as pool:
        run(pool, call, WARM_CALLS, THREADS)
        before = reset_peak()
        meter = Meter()
        for done in [pool.submit(call) for _ in range(given.n)]:
            done.result()
        meter.stop()
    return Sample("", "", given.n, meter.cpu_s, meter.wall_s, peak() - before)


def tokens(read: Callable[[], int], given: Arguments) -> Sample:
    """Read whole streams in --concurrency threads until at least --n messages have come."""
    count = 0
    with ThreadPoolExecutor(given.concurrency) as pool:
        if given.shape == "tokens_burst":
            read()
        meter = Meter()
        while count < given.n:
            count += sum([done.result() for done in [pool.submit(read) for _ in range(given.concurrency)]])
        meter.stop()
    return Sample("", "", count, meter.cpu_s, meter.wall_s)
