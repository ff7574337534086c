"""One input, one answer: what is in a photo?

On this machine, with the embedded server:

    headrace samples
    python examples/predict.py samples/photos/cat.jpg

On another server (the credential comes from CLARIFAI_PAT):

    python examples/predict.py samples/photos/cat.jpg --model https://clarifai.com/clarifai/main/models/general-image-recognition
"""

import argparse
import asyncio
import sys

import headrace


async def main(photo: str, model_url: str | None) -> None:
    async with headrace.Client() if model_url else headrace.Client.local() as client:
        model = client.model(model_url) if model_url else client.model(model_id="classifier")
        prediction = await model.predict_by_filepath(photo, input_type="image", output_config={"max_concepts": 5})
        for concept in prediction.concepts:
            print(f"{concept.value:6.1%}  {concept.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What is in a photo?")
    parser.add_argument("photo")
    parser.add_argument("--model", metavar="URL", help="a model on a server; left out: one on this machine")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.photo, args.model))
    except headrace.HeadraceError as error:  # such as a missing file, no server, no credential
        sys.exit(f"{parser.prog}: {error}")
