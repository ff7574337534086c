"""What does the camera see? Live, with a line of counts, on this machine.

    python examples/webcam.py                                # the first camera
    python examples/webcam.py --camera rtsp://camera/live    # one on the network
    python examples/webcam.py --camera clip.mp4 --save out.mp4

`--track` gives each object a stable id (needs SciPy: pip install '.[track]').
"""

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import headrace
from headrace.frames import meter
from headrace.sinks import VideoSink
from headrace.sources import VideoSource, camera, video


def open_source(name: str) -> VideoSource:
    if Path(name).is_file():
        return video(name, paced=True)  # a file, at the pace of a camera
    return camera(int(name) if name.isdecimal() else name)


async def main(name: str, save: str | None, track: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(headrace.Client.local())
        sink = await stack.enter_async_context(VideoSink(save)) if save else None
        model = client.model(model_id="detector")
        # The camera never waits: while the model is busy, only the newest frame is kept. With a target, as many
        # frames are in flight as the model can take without answers getting old.
        frames = model.stream_frames(open_source(name), target_latency=0.3, track=track)
        stream = await stack.enter_async_context(frames)
        seen = None
        async for frame in stream:
            if frame.error is not None:  # one bad frame ends nothing
                print(f"\nframe {frame.index}: {frame.error}")
                continue
            if sink is not None:
                await sink.write(frame)
            names = sorted({f"{region.name} #{region.track_id}" if track else region.name for region in frame.regions})
            if names != seen:
                seen = names
                print(f"\r\x1b[K{frame.time:7.2f} s  {', '.join(names) or 'nothing'}")
            print(f"\r\x1b[K{meter(stream.stats)}", end="", file=sys.stderr, flush=True)
    print(f"\n{stream.stats.predictions} answers, {stream.stats.dropped} frames dropped")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What does the camera see?")
    parser.add_argument("--camera", default="0", help="a number, an address, or a video file")
    parser.add_argument("--save", metavar="OUT.mp4", help="write the annotated video")
    parser.add_argument("--track", action="store_true", help="give each object a stable id")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.camera, args.save, args.track))
    except headrace.HeadraceError as error:  # such as no camera
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        pass
