"""What a class must have to be a model, and how pieces become one answer."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.server.model import Answer
from headrace.v2 import resources_pb2


class ShapeError(TypeError):
    """A class that cannot be a model; the message is one line for its author."""


def join(answers: Iterable[Answer]) -> Answer:
    """Make one answer of the pieces of a generated one: texts in a row, lists appended, tokens added up."""
    whole = Answer(resources_pb2.Data())
    said = []
    for answer in answers:
        said.append(answer.data.text.raw)
        whole.data.MergeFrom(answer.data)
        whole.prompt_tokens += answer.prompt_tokens
        whole.completion_tokens += answer.completion_tokens
    if whole.data.HasField("text"):
        whole.data.text.raw = "".join(said)
    return whole
