"""`headrace.blocking`, as its documentation shows it: calls in threads, streams read with `for`."""

from __future__ import annotations

import itertools

from benchmarks.peers.samples import aio, threads
from benchmarks.protocol import Arguments, Meter, Sample, main, rss
from benchmarks.samples.ours import versions
from headrace.blocking import Client


def unary(arguments: Arguments) -> Sample:
    """Make --n calls in --concurrency threads."""
    data = arguments.text()
    with Client(base_url=f"http://{arguments.address}", pat="benchmark") as client:
        model = client.model("u/a/models/m")

        def call() -> None:
            prediction = model.predict_by_bytes(data, "text")
            assert len([(concept.name, concept.value) for concept in prediction.concepts]) == 5

        return threads.unary(call, arguments)


def tokens(arguments: Arguments) -> Sample:
    """Read whole streams in --concurrency threads."""
    data = arguments.text()
    with Client(base_url=f"http://{arguments.address}", pat="benchmark") as client:
        model = client.model("u/a/models/m")

        def read() -> int:
            count = 0
            with model.generate_by_bytes(data, "text") as stream:
                for piece in stream:
                    assert piece.text
                    count += 1
            return count

        return threads.tokens(read, arguments)


def duplex(arguments: Arguments) -> Sample:
    """Send --n inputs through one stream, after another stream as a warm-up."""
    data = arguments.text()
    with Client(base_url=f"http://{arguments.address}", pat="benchmark") as client:
        model = client.model("u/a/models/m")

        def run(number: int) -> None:
            inputs = itertools.repeat(data, number)
            with model.stream_by_bytes(inputs, "text", window=arguments.concurrency) as stream:
                for prediction in stream:
                    assert prediction.text

        run(min(arguments.n, aio.WARM_INPUTS))
        before = rss()
        meter = Meter()
        run(arguments.n)
        meter.stop()
        return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, rss() - before)


SHAPES = {"unary": unary, "tokens_burst": tokens, "tokens_paced": tokens, "duplex": duplex}

if __name__ == "__main__":
    main("headrace-blocking", SHAPES, versions())
