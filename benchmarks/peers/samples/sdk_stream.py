"""The official SDK's `stream_by_bytes`: an iterator of inputs, one a message, through one stream."""

from __future__ import annotations

import itertools

from benchmarks.peers.samples import aio, sdk
from benchmarks.protocol import Arguments, Meter, Sample, main, rss


def stream(arguments: Arguments) -> Sample:
    """Send --n inputs through one stream, after another stream as a warm-up."""
    model = sdk.model(arguments)
    payload = b"x" * arguments.size

    def run(number: int) -> None:
        for response in model.stream_by_bytes(itertools.repeat(payload, number), "text"):
            assert response.outputs[0].data.text.raw

    run(min(arguments.n, aio.LEVEL if arguments.shape == "long_stream" else aio.WARM_INPUTS))
    before = rss()
    meter = Meter()
    run(arguments.n)
    meter.stop()
    return Sample("", "", arguments.n, meter.cpu_s, meter.wall_s, rss() - before)


if __name__ == "__main__":
    main("sdk-stream", {"duplex": stream, "bulk": stream, "long_stream": stream}, sdk.VERSIONS)
