"""What is measured: a cell is a shape with its numbers; each client that has the shape gives a sample of it a round."""

from __future__ import annotations

from dataclasses import dataclass

KiB, MiB = 1 << 10, 1 << 20
CLIENTS = ("headrace-h2", "headrace-grpc")
OWN = ("raw", *CLIENTS)
CALLS = (*OWN, "headrace-coalesced")


@dataclass(frozen=True, slots=True)
class Cell:
    """A shape with its numbers.

    Args:
        name: as tables and `--only` call it.
        shape: of `benchmarks.protocol.SHAPES`.
        port: which of the server's ports answers it (`benchmarks.server.answers`); "" for none.
        n: units of work; see SHAPES.
        quick: units with `--quick`.
        peers: who is measured; None: whoever has the shape.
        rounds: rounds at most; None: as many as are asked for.
        curve: the plot that it is a point of, and where: ("concurrency", 16).
    """

    name: str
    shape: str
    port: str
    n: int
    quick: int
    concurrency: int = 1
    size: int = KiB
    rate: float = 0.0
    seconds: float = 0.0
    peers: tuple[str, ...] | None = None
    rounds: int | None = None
    curve: tuple[str, int] | None = None

    def arguments(self, *, quick: bool) -> list[str]:
        """Give what follows the shape on a sample's command line."""
        seconds = self.seconds / 3 if quick else self.seconds
        numbers = {
            "n": self.quick if quick else self.n,
            "concurrency": self.concurrency,
            "size": self.size,
            "rate": self.rate,
            "seconds": seconds,
        }
        return [word for name, value in numbers.items() for word in (f"--{name}", str(value))]


def _unary(at_once: int, n: int, quick: int, peers: tuple[str, ...] | None = None) -> Cell:
    point = ("concurrency", at_once)
    return Cell(f"unary-{at_once}", "unary", "unary", n, quick, at_once, peers=peers, curve=point)


def _paced(streams: int, peers: tuple[str, ...] | None) -> Cell:
    n = streams * 100  # each stream once
    return Cell(
        f"tokens-paced-{streams}", "tokens_paced", "paced", n, n, streams, peers=peers, curve=("streams", streams)
    )


def _payload(size: int, name: str, n: int, quick: int) -> Cell:
    return Cell(f"payload-{name}", "upload", "unary", n, quick, 16, size, peers=OWN, curve=("payload", size))


def _layers(kind: str, n: int) -> Cell:
    return Cell(kind.replace("_", "-"), kind, "", n, n // 5, 64, peers=("headrace-layers",))


CELLS = (
    _unary(1, 3000, 600),
    _unary(4, 6000, 1000, CALLS),
    _unary(16, 8000, 1500),
    _unary(64, 8000, 1500),
    _unary(256, 8000, 2000),
    _unary(1024, 8000, 3000, CALLS),
    Cell("unary-fixed", "unary_fixed", "unary", 0, 0, 64, rate=1900, seconds=3),
    Cell("tokens-burst", "tokens_burst", "burst", 20_000, 4000),
    _paced(1, OWN),
    _paced(10, OWN),
    _paced(100, None),
    _paced(400, OWN),
    Cell("duplex", "duplex", "duplex", 8000, 2000, 64),
    Cell("hop", "hop", "duplex", 8000, 2000, 64, peers=OWN),
    Cell("bulk", "bulk", "unary", 51_200, 12_800, 8, peers=(*OWN, "sdk-batch")),
    Cell("bulk-stream", "bulk_stream", "duplex", 51_200, 12_800, 8, peers=CLIENTS),
    Cell("upload-1", "upload", "unary", 6, 3, 1, 20 * MiB),
    Cell("upload-4", "upload", "unary", 16, 8, 4, 20 * MiB),
    _payload(256, "256B", 6000, 1500),
    _payload(4 * KiB, "4KiB", 6000, 1500),
    _payload(64 * KiB, "64KiB", 3000, 800),
    _payload(MiB, "1MiB", 400, 100),
    Cell("at-once", "at_once", "unary", 10_000, 10_000, 64, rounds=3),
    Cell("gathered", "gathered", "unary", 10_000, 10_000, 64, peers=CLIENTS, rounds=3),
    Cell("long-stream", "long_stream", "duplex", 1_000_000, 50_000, 64, peers=OWN, rounds=1),
    Cell("cold-import", "cold_import", "unary", 5, 3),
    Cell("cold-call", "cold_call", "unary", 5, 3),
    Cell("live-1", "live", "slow_duplex", 16, 16, 1, peers=CLIENTS),
    Cell("live-8", "live", "slow_duplex", 128, 128, 8, peers=CLIENTS),
    _layers("layers_unary", 50_000),
    _layers("layers_tokens", 100_000),
    _layers("layers_duplex", 50_000),
    _layers("layers_bulk", 51_200),
    _layers("full_unary", 50_000),
    _layers("full_tokens", 100_000),
    _layers("full_duplex", 50_000),
    _layers("full_bulk", 51_200),
)
