"""The official SDK's model, as its documentation makes it, but without the question whether the model exists.

That is the only call that the constructor makes. Canned servers know predictions alone, and nothing depends on it.
"""

from __future__ import annotations

from typing import Any

from clarifai.client.model import Model

from benchmarks.protocol import Arguments

COLD = """
from clarifai.client.model import Model
Model.load_info = lambda self, validate=False: None
Model("https://clarifai.com/u/a/models/m", base_url="http://127.0.0.1:1", pat="none")
"""
COLD_CALL = """
from clarifai.client.model import Model
Model.load_info = lambda self, validate=False: None
model = Model("https://clarifai.com/u/a/models/m", base_url="http://ADDRESS", pat="none")
assert model.predict_by_bytes(b"text", "text").outputs[0].data.text.raw
"""
VERSIONS = ("clarifai", "clarifai-grpc", "grpcio", "protobuf")


class Known(Model):  # type: ignore[misc]
    """A model that is taken to exist."""

    def load_info(self, validate: bool = False) -> None:
        """Ask nobody."""


def model(arguments: Arguments) -> Any:
    """Make the model."""
    return Known("https://clarifai.com/u/a/models/m", base_url=f"http://{arguments.address}", pat="none")
