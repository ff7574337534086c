"""The official SDK's batch prediction, for which its page "Advanced Inference Options" gives 128 inputs as the most."""

from __future__ import annotations

from clarifai.client.input import Inputs

from benchmarks.peers.samples import sdk, threads
from benchmarks.protocol import Arguments, Sample, main

INPUTS = 128  # a request


def bulk(arguments: Arguments) -> Sample:
    """Send --n inputs, packed into requests, in --concurrency threads."""
    model = sdk.model(arguments)
    payload = b"x" * arguments.size

    def call() -> None:
        response = model.predict([Inputs.get_input_from_bytes(str(i), text_bytes=payload) for i in range(INPUTS)])
        assert len(response.outputs) == INPUTS
        for output in response.outputs:
            assert output.data.text.raw

    arguments.n = max(1, arguments.n // INPUTS)
    sample = threads.unary(call, arguments)
    sample.n *= INPUTS
    return sample


if __name__ == "__main__":
    main("sdk-batch", {"bulk": bulk}, sdk.VERSIONS)
