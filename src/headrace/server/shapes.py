"""The requirements of a model class, and joining pieces into one answer."""

from __future__ import annotations

from collections.abc import AsyncIterable

from headrace.server.model import Answer, ModelError
from headrace.v2 import resources_pb2

MAX_PIECES = 100_000  # of a generated answer that is joined
MAX_JOINED_BYTES = 128 << 20


class ShapeError(TypeError):
    """A class that cannot be a model; the message is one line for its author."""


async def join(answers: AsyncIterable[Answer]) -> Answer:
    """Make one answer from the pieces of a generated one: texts in a row, lists appended, tokens added up.

    Raises:
        ModelError: 21313 the pieces have no end that one answer could hold.
    """
    whole = Answer(resources_pb2.Data())
    texts: list[str] = []
    size = pieces = 0
    async for answer in answers:
        pieces += 1
        size += answer.data.ByteSize()
        if pieces > MAX_PIECES or size > MAX_JOINED_BYTES:
            raise ModelError(
                21313, f"the model yielded {pieces:,} pieces of {size:,} bytes, which is the limit, and had not ended"
            )
        texts.append(answer.data.text.raw)
        whole.data.MergeFrom(answer.data)
        whole.prompt_tokens += answer.prompt_tokens
        whole.completion_tokens += answer.completion_tokens
    if whole.data.HasField("text"):
        whole.data.text.raw = "".join(texts)
    return whole
