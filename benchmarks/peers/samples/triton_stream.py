"""tritonclient's `stream_infer`: an answer to each input."""

from __future__ import annotations

from benchmarks.peers.samples import aio, triton
from benchmarks.protocol import main

if __name__ == "__main__":
    shapes = aio.shapes(triton.connect, "duplex", "long_stream")
    main("tritonclient-stream", shapes, triton.VERSIONS)
