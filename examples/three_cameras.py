"""Several cameras at once over one client, each served alike; one that fails does not disturb the others.

python examples/three_cameras.py rtsp://hall/live rtsp://door/live http://yard/live.ts --seconds 60
"""

import argparse
import asyncio

import headrace
from headrace.frames import meter
from headrace.sources import camera


async def watch(model: headrace.Model, number: int, address: str) -> None:
    source = camera(address, fps=10, resize=640)  # lost ones are looked for again; frame numbers go on
    stream = model.stream_frames(source, window=2)
    seen: set[str] = set()
    try:
        async with stream:
            async for found in stream:
                names = set() if found.error is not None else {region.name for region in found.regions}
                for name in sorted(names - seen):
                    print(f"camera {number}: a {name}, {found.age * 1000:.0f} ms ago", flush=True)
                seen = names
    except headrace.SourceError as error:
        print(f"camera {number}: {error}")
    finally:
        print(f"camera {number}: {meter(stream.stats)}", flush=True)


async def main(addresses: list[str], seconds: float | None) -> None:
    async with headrace.Client.local() as client:
        model = client.model(model_id="detector")
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for number, address in enumerate(addresses):
                    group.create_task(watch(model, number, address))
        except TimeoutError:
            print("time is up")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What do the cameras see?")
    parser.add_argument("cameras", nargs="+")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    given = parser.parse_args()
    asyncio.run(main(given.cameras, given.seconds))
