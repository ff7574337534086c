"""The official model server (ModelServicer) with some models, each on a port of its own; run by the SDK's own Python.

Prints one line of JSON, model name -> port, and ends with its stdin.
"""

# mypy: ignore-errors
import json
import sys
from collections.abc import Iterator
from concurrent import futures

import grpc
from clarifai.runners.models.dummy_openai_model import DummyOpenAIModel
from clarifai.runners.models.model_class import ModelClass
from clarifai.runners.models.model_servicer import ModelServicer
from clarifai.runners.utils.data_types import Concept, Image, NamedFields, Text
from clarifai_grpc.grpc.api import service_pb2, service_pb2_grpc
from clarifai_grpc.grpc.api.status import status_code_pb2


class Typed(ModelClass):
    """Methods of all shapes; `stream` takes what the plain form sends, too."""

    @ModelClass.method
    def predict(self, prompt: str, times: int = 2) -> str:
        """Repeat the prompt."""
        self.set_output_context(prompt_tokens=1, completion_tokens=times)
        return " ".join([prompt] * times)

    @ModelClass.method
    def generate(self, prompt: str, times: int = 3) -> Iterator[str]:
        """Number the prompt."""
        for number in range(times):
            yield f"{prompt}{number}"

    @ModelClass.method
    def stream(self, texts: Iterator[Text], suffix: str = "!") -> Iterator[str]:
        """Add the suffix to each text."""
        for text in texts:
            yield text.text + suffix

    @ModelClass.method
    def words(self, words: Iterator[str], suffix: str = "!") -> Iterator[str]:
        """Add the suffix to each word."""
        for word in words:
            yield word + suffix

    @ModelClass.method
    def add(self, numbers: list[int], data: dict) -> dict:
        """Add numbers to what is given."""
        return {"sum": sum(numbers), **data}

    @ModelClass.method
    def label(self, image: Image) -> list[Concept]:
        """Name an image by its size."""
        return [Concept(name=f"{len(image.bytes)} bytes", value=0.5), Concept(name="image", value=0.25)]

    @ModelClass.method
    def point(self, point: NamedFields(x=int, name=str)) -> NamedFields(x=int, name=str):
        """Move a point."""
        return NamedFields(x=point.x + 1, name=point.name)

    @ModelClass.method
    def fails(self, prompt: str) -> str:
        """Raise."""
        raise ValueError(f"no {prompt} today")

    @ModelClass.method
    def fails_later(self, prompt: str) -> Iterator[str]:
        """Give a piece and raise."""
        yield prompt
        raise ValueError(f"no more {prompt}")


class Words(ModelClass):
    """Its stream takes plain strings, which its own server cannot read from the second input of the plain form on."""

    @ModelClass.method
    def stream(self, words: Iterator[str]) -> Iterator[str]:
        """Give back what comes."""
        yield from words


class Broken(ModelClass):
    """Fails outside its methods."""

    def predict_wrapper(self, request):
        raise RuntimeError("the wrapper broke")

    def generate_wrapper(self, request):
        raise RuntimeError("the wrapper broke")
        yield

    def stream_wrapper(self, requests):
        raise RuntimeError("the wrapper broke")
        yield


class Old(ModelClass):
    """Written against the protocol's messages; the text "bad" fails."""

    def PostModelOutputs(self, request: service_pb2.PostModelOutputsRequest) -> service_pb2.MultiOutputResponse:
        response = service_pb2.MultiOutputResponse()
        for item in request.inputs:
            output = response.outputs.add()
            output.data.text.raw = item.data.text.raw.upper()
            bad = item.data.text.raw == "bad"
            output.status.code = status_code_pb2.INPUT_INVALID_ARGUMENT if bad else status_code_pb2.SUCCESS
        return response


def serve(model):
    server = grpc.server(futures.ThreadPoolExecutor(10))
    service_pb2_grpc.add_V2Servicer_to_server(ModelServicer(model), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main():
    dummy = DummyOpenAIModel()
    dummy.load_model()
    models = {"typed": Typed(), "words": Words(), "broken": Broken(), "old": Old(), "dummy": dummy}
    served = {name: serve(model) for name, model in models.items()}
    sys.stdout.write(json.dumps({name: port for name, (_, port) in served.items()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    for server, _ in served.values():
        server.stop(0)


if __name__ == "__main__":
    main()
