"""headrace with `Client(coalesce=True)`: concurrent calls of one input each share requests."""

from __future__ import annotations

import functools

from benchmarks.protocol import main
from benchmarks.samples.measures import shapes
from benchmarks.samples.ours import connect, versions

if __name__ == "__main__":
    main("headrace-coalesced", shapes(functools.partial(connect, coalesce=True)), versions())
