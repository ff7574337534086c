"""Measure what our layers cost over raw grpc.aio, interleaved, as ratios with their spread: `python -m benchmarks`.

A server of canned answers runs in a process of its own. Every sample is CPU time of this process (all threads) for the
same work done both ways, one right after the other; the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import grpc.aio

from headrace import Client
from headrace.codec import GENERATE, PREDICT
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

CONCURRENT = 64
TOKENS = 200


def request() -> rpc.PostModelOutputsRequest:
    """Build the request that the raw stub sends, the obvious way."""
    text = pb.Text(raw="x" * 1024)
    return rpc.PostModelOutputsRequest(
        user_app_id=pb.UserAppIDSet(user_id="u", app_id="a"),
        model_id="m",
        inputs=[pb.Input(id="a", data=pb.Data(text=text))],
    )


async def raw_unary(channel: grpc.aio.Channel, calls: int) -> None:
    """Make unary calls with protobuf both ways on a raw stub."""
    stub = channel.unary_unary(
        PREDICT,
        request_serializer=rpc.PostModelOutputsRequest.SerializeToString,
        response_deserializer=rpc.MultiOutputResponse.FromString,
    )
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            response = await stub(request())
            assert response.outputs[0].data.text.raw

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def our_unary(client: Client, calls: int) -> None:
    """Make the same calls with headrace."""
    model = client.model("u/a/models/m")
    left = iter(range(calls))
    text = "x" * 1024

    async def worker() -> None:
        for _ in left:
            assert (await model.predict_by_bytes(text, "text")).text

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def raw_tokens(channel: grpc.aio.Channel, calls: int) -> None:
    """Read token streams with a raw stub."""
    stub = channel.unary_stream(
        GENERATE,
        request_serializer=rpc.PostModelOutputsRequest.SerializeToString,
        response_deserializer=rpc.MultiOutputResponse.FromString,
    )
    for _ in range(calls // TOKENS):
        async for response in stub(request()):
            assert response.outputs[0].data.text.raw


async def our_tokens(client: Client, calls: int) -> None:
    """Read the same token streams with headrace."""
    model = client.model("u/a/models/m")
    for _ in range(calls // TOKENS):
        async with model.generate_by_bytes("x" * 1024, "text") as stream:
            async for piece in stream:
                assert piece.text


async def cpu(work: Awaitable[None]) -> float:
    """Measure the CPU seconds of this process while `work` runs."""
    start = time.process_time()
    await work
    return time.process_time() - start


async def measure(address: str, rounds: int, calls: int) -> None:
    """Print a row a shape: microseconds each way, and the ratio with its spread."""
    print(f"{'shape':<22}{'raw us':>9}{'headrace us':>13}{'ratio':>8}{'spread':>16}")
    async with (
        Client(base_url=address) as client,
        grpc.aio.insecure_channel(address.removeprefix("http://")) as channel,
    ):
        shapes = {
            f"unary, {CONCURRENT} at once": (raw_unary, our_unary),
            "token stream, a piece": (raw_tokens, our_tokens),
        }
        for name, (raw, ours) in shapes.items():
            await raw(channel, calls)
            await ours(client, calls)
            pairs = [(await cpu(raw(channel, calls)), await cpu(ours(client, calls))) for _ in range(rounds)]
            ratios = sorted(mine / theirs for theirs, mine in pairs)
            theirs, mine = (statistics.median(column) / calls * 1e6 for column in zip(*pairs, strict=True))
            spread = f"{ratios[0]:.2f} - {ratios[-1]:.2f}"
            print(f"{name:<22}{theirs:>9.1f}{mine:>13.1f}{statistics.median(ratios):>8.2f}{spread:>16}")


@contextlib.contextmanager
def canned_server() -> Iterator[str]:
    """Run the server of canned answers in a process of its own; gives its address."""
    command = [sys.executable, "-m", "benchmarks.canned_server"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def main() -> None:
    """Start the server of canned answers, measure, stop it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our layers over a raw stub, as ratios.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    quick = parser.parse_args().quick
    with canned_server() as address:
        asyncio.run(measure(address, 3 if quick else 7, 1000 if quick else 4000))


if __name__ == "__main__":
    main()
