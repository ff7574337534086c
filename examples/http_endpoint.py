"""A web service that streams results: post a video, get a line of JSON for each frame as soon as it is ready.

    pip install aiohttp
    headrace samples
    python examples/http_endpoint.py --port 8000
    curl --no-buffer --data-binary @samples/videos/photos.mp4 'http://127.0.0.1:8000/detect?fps=5'

A caller who goes away ends the work for its request at once, down to the model.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import AsyncIterator

import headrace
from headrace.sinks.jsonl import record
from headrace.sources import VideoSource, video

try:
    from aiohttp import web
except ImportError:
    sys.exit("this example needs aiohttp: pip install aiohttp")

MODEL = web.AppKey("model", headrace.Model)
MAX_BYTES = 64 << 20


async def share_one_client(app: web.Application) -> AsyncIterator[None]:
    async with headrace.Client.local(models=["yolov3-tiny"]) as client:
        app[MODEL] = client.model(model_id="yolov3-tiny")
        yield


async def detect(request: web.Request) -> web.StreamResponse:
    fps = request.query.get("fps", "2")
    if not fps.isdecimal() or not 1 <= int(fps) <= 60:
        return web.json_response({"error": "fps must be from 1 to 60"}, status=400)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        async for chunk in request.content.iter_chunked(1 << 16):
            file.write(chunk)
            if file.tell() > MAX_BYTES:
                raise web.HTTPRequestEntityTooLarge(MAX_BYTES, file.tell())
        file.flush()
        return await answer(request, video(file.name, fps=int(fps), resize=640))


async def answer(request: web.Request, source: VideoSource) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    try:
        # Leaving the block, for whatever reason, ends the calls and closes the video.
        async with request.app[MODEL].stream_frames(source) as stream:
            async for frame in stream:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(json.dumps(record(frame)).encode() + b"\n")
    except headrace.SourceError as error:
        problem = {"error": str(error).replace(error.source or source.name, "the video")}
        if not response.prepared:  # no video at all
            return web.json_response(problem, status=400)
        await response.write(json.dumps(problem).encode() + b"\n")
    except ConnectionResetError:  # the caller went away
        pass
    return response


def main(port: int) -> None:
    app = web.Application()
    app.cleanup_ctx.append(share_one_client)
    app.router.add_post("/detect", detect)
    web.run_app(app, host="127.0.0.1", port=port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A web service that finds objects in videos.")
    parser.add_argument("--port", type=int, default=8000)
    main(parser.parse_args().port)
