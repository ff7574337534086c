"""One input, one answer: what is in a photo?

On this machine, with the embedded server:

    python examples/predict.py photo.jpg

On another server (the credential comes from CLARIFAI_PAT):

    python examples/predict.py photo.jpg --model https://clarifai.com/clarifai/main/models/general-image-recognition
"""

import argparse
import asyncio

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
    given = parser.parse_args()
    asyncio.run(main(given.photo, given.model))
