"""tritonclient's `infer`."""

from __future__ import annotations

from benchmarks.peers.samples import aio, triton
from benchmarks.protocol import cold, main

SHAPES = {
    **aio.shapes(triton.connect, "unary", "unary_fixed", "upload", "at_once"),
    "cold_import": lambda arguments: cold(triton.COLD, arguments.n),
}

if __name__ == "__main__":
    main("tritonclient", SHAPES, triton.VERSIONS)
