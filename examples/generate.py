"""One prompt, its answer piece by piece as the model makes it.

On this machine, with the embedded server (its first use downloads the model's weights, 93 MB):

    python examples/generate.py "Why do rivers wind?"

On another server (the credential comes from CLARIFAI_PAT):

    python examples/generate.py "Why do rivers wind?" --model https://clarifai.com/USER/APP/models/MODEL
"""

import argparse
import asyncio
import sys

import headrace


async def main(prompt: str, model_url: str | None) -> None:
    async with headrace.Client() if model_url else headrace.Client.local() as client:
        model = client.model(model_url) if model_url else client.model(model_id="llm")
        params = {"temperature": 0.0, "max_tokens": 60}
        # Leaving the block early, by break or by an exception, stops the model on the server.
        async with model.generate_by_bytes(prompt, input_type="text", inference_params=params) as stream:
            async for piece in stream:
                print(piece.text, end="", flush=True)
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Let a model write.")
    parser.add_argument("prompt")
    parser.add_argument("--model", metavar="URL", help="a model on a server; left out: one on this machine")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.prompt, args.model))
    except headrace.HeadraceError as error:  # such as a missing file, no server, no credential
        sys.exit(f"{parser.prog}: {error}")
