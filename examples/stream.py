"""Many inputs through one stream: answers arrive while inputs still leave.

On this machine, with the embedded server:

    python examples/stream.py photos/*.jpg

On another server (the credential comes from CLARIFAI_PAT):

    python examples/stream.py photos/*.jpg --model https://clarifai.com/clarifai/main/models/general-image-recognition
"""

import argparse
import asyncio
import time

import headrace


async def main(photos: list[str], model_url: str | None) -> None:
    async with headrace.Client() if model_url else headrace.Client.local() as client:
        model = client.model(model_url) if model_url else client.model(model_id="classifier")
        start = time.monotonic()
        # At most 8 photos are in flight: however many there are, neither side piles them up.
        async with model.stream_by_filepath(photos, input_type="image", window=8) as stream:
            async for prediction in stream:
                name = photos[prediction.position]
                if prediction.error is not None:  # one bad photo does not end the stream
                    print(f"{name}: {prediction.error}")
                    continue
                best = prediction.concepts[0]
                print(f"{time.monotonic() - start:6.2f} s  {name}: {best.name} {best.value:.0%}")
        print(f"{stream.stats.received} answers, at most {stream.stats.peak_in_flight} in flight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What is in many photos?")
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--model", metavar="URL", help="a model on a server; left out: one on this machine")
    given = parser.parse_args()
    asyncio.run(main(given.photos, given.model))
