"""Answers that hold a vector, a picture or a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.server.model import Answer
from headrace.server.models._images import encode
from headrace.v2 import resources_pb2 as pb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


def embedding(vector: NDArray[Any]) -> Answer:
    """Make an answer from one vector (`data.embeddings[0]`)."""
    return Answer(pb.Data(embeddings=[pb.Embedding(vector=vector.tolist(), num_dimensions=len(vector))]))


def image(picture: Image) -> Answer:
    """Make an answer from one picture (`data.image`), as PNG."""
    info = pb.ImageInfo(width=picture.width, height=picture.height, format="PNG", mode=picture.mode)
    return Answer(pb.Data(image=pb.Image(base64=encode(picture), image_info=info)))


def audio(wav: bytes) -> Answer:
    """Make an answer from one sound (`data.audio`), a WAV file."""
    return Answer(pb.Data(audio=pb.Audio(base64=wav)))
