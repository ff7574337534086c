"""The official SDK's `stream_by_bytes`: an iterator of inputs, one a message, through one stream."""

from __future__ import annotations

import itertools

from benchmarks.peers.samples import sdk
from benchmarks.protocol import Arguments, Meter, Sample, main, rss

WARM_INPUTS = 2000


def stream(given: Arguments) -> Sample:
    """Send --n inputs through one stream, after another stream as a warm-up."""
    model = sdk.model(given)
    payload = b"x" * given.size

    def run(number: int) -> None:
        for response in model.stream_by_bytes(itertools.repeat(payload, number), "text"):
            assert response.outputs[0].data.text.raw

    run(min(given.n, WARM_INPUTS))
    before = rss()
    meter = Meter()
    run(given.n)
    meter.stop()
    return Sample("", "", given.n, meter.cpu_s, meter.wall_s, rss() - before)


if __name__ == "__main__":
    main("sdk-stream", {"duplex": stream, "bulk": stream, "long_stream": stream}, sdk.VERSIONS)
