"""Several cameras at once over one client, each with an equal share; one that fails does not disturb the others.

python examples/three_cameras.py rtsp://hall/live rtsp://door/live http://yard/live.ts --seconds 60
"""

import argparse
import asyncio
import sys

import headrace
from headrace.frames import meter
from headrace.sources import VideoSource, camera


async def watch(model: headrace.Model, number: int, source: VideoSource) -> None:
    stream = model.stream_frames(source, window=2)
    seen: set[str] = set()
    try:
        async with stream:
            async for frame in stream:
                names = set() if frame.error is not None else {region.name for region in frame.regions}
                for name in sorted(names - seen):
                    print(f"camera {number}: a {name}, {frame.age * 1000:.0f} ms ago", flush=True)
                seen = names
    except headrace.HeadraceError as error:  # this camera is lost; the others go on
        print(f"camera {number}: {error}", flush=True)
    finally:
        if stream.stats.frames:
            print(f"camera {number}: {meter(stream.stats)}", flush=True)


async def main(addresses: list[str], seconds: float | None) -> None:
    # Each reconnects when it is lost, and its frame numbers go on.
    sources = [camera(int(one) if one.isdecimal() else one, fps=10, resize=640) for one in addresses]
    async with headrace.Client.local() as client:
        model = client.model(model_id="detector")
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for number, source in enumerate(sources):
                    group.create_task(watch(model, number, source))
        except TimeoutError:
            print("time is up")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What do the cameras see?")
    parser.add_argument("cameras", nargs="+")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.cameras, args.seconds))
    except headrace.HeadraceError as error:  # such as a missing file, no server, no credential
        sys.exit(f"{parser.prog}: {error}")
