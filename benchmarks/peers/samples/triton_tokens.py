"""tritonclient's `stream_infer`: many answers to one request, as decoupled models give them."""

from __future__ import annotations

from benchmarks.peers.samples import aio, triton
from benchmarks.protocol import main

if __name__ == "__main__":
    shapes = aio.shapes(triton.connect, "tokens_burst", "tokens_paced")
    main("tritonclient-tokens", shapes, triton.VERSIONS)
