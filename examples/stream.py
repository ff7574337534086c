"""Many inputs through one stream: answers arrive while inputs are still being sent.

On this machine, with the embedded server:

    headrace samples
    python examples/stream.py samples/photos/*.jpg

On another server (the credential comes from CLARIFAI_PAT):

    python examples/stream.py samples/photos/*.jpg --model https://clarifai.com/clarifai/main/models/general-image-recognition
"""

import argparse
import asyncio
import sys
import time

import headrace


async def main(photos: list[str], model_url: str | None) -> None:
    async with headrace.Client() if model_url else headrace.Client.local() as client:
        model = client.model(model_url) if model_url else client.model(model_id="classifier")
        start = time.monotonic()
        # At most 8 photos are in flight: however many there are, neither side piles them up.
        async with model.stream_by_filepath(photos, input_type="image", window=8) as stream:
            async for prediction in stream:
                if prediction.error is not None:  # one bad photo does not end the stream
                    print(f"{photos[prediction.position]}: {prediction.error}")
                    continue
                best = prediction.concepts[0]
                print(f"{time.monotonic() - start:6.2f} s  {photos[prediction.position]}: {best.name} {best.value:.0%}")
        print(f"{stream.stats.received} answers, at most {stream.stats.peak_in_flight} in flight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What is in many photos?")
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--model", metavar="URL", help="a model on a server; left out: one on this machine")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.photos, args.model))
    except headrace.HeadraceError as error:  # such as a missing file, no server, no credential
        sys.exit(f"{parser.prog}: {error}")
