"""The official SDK's blocking methods, one input a call, in threads."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers.samples import sdk, threads
from benchmarks.protocol import Arguments, Sample, cold, main


def calls(measure: Callable[[Callable[[], object], Arguments], Sample]) -> Callable[[Arguments], Sample]:
    """Make a shape of predict_by_bytes."""

    def shape(arguments: Arguments) -> Sample:
        model = sdk.model(arguments)
        payload = b"x" * arguments.size
        kind = "image" if arguments.shape == "upload" else "text"

        def call() -> None:
            response = model.predict_by_bytes(payload, kind)
            concepts = response.outputs[0].data.concepts
            assert len([(concept.name, concept.value) for concept in concepts]) == 5

        return measure(call, arguments)

    return shape


def tokens(arguments: Arguments) -> Sample:
    """Read streams of generate_by_bytes."""
    model = sdk.model(arguments)
    payload = b"x" * arguments.size

    def read() -> int:
        count = 0
        for response in model.generate_by_bytes(payload, "text"):
            assert response.outputs[0].data.text.raw
            count += 1
        return count

    return threads.tokens(read, arguments)


SHAPES = {
    "unary": calls(threads.unary),
    "bulk": calls(threads.unary),
    "upload": calls(threads.unary),
    "unary_fixed": calls(threads.fixed),
    "at_once": calls(threads.at_once),
    "tokens_burst": tokens,
    "tokens_paced": tokens,
    "cold_import": lambda arguments: cold(sdk.COLD, arguments.n),
    "cold_call": lambda arguments: cold(sdk.COLD_CALL.replace("ADDRESS", arguments.address), arguments.n),
}

if __name__ == "__main__":
    main("sdk-threads", SHAPES, sdk.VERSIONS)
