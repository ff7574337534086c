"""Vectors of texts, whichever way a model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.chat import transport
from headrace.chat.abilities import TRANSPORT, Abilities
from headrace.chat.conversation import ConversationError
from headrace.errors import PredictionFailed
from headrace.inputs import Input

if TYPE_CHECKING:
    from headrace.model import Model

#: Texts of one request to a model that speaks OpenAI's API, which takes no more.
OPENAI_TEXTS = 2048


async def embed(
    model: Model, abilities: Abilities, texts: Sequence[str], timeout: float | None = None
) -> list[list[float]]:
    """Give the vector of each text, in order; texts share requests, as many as the limits allow.

    Args:
        abilities: what the model can do.
        timeout: seconds for each request, or None for the client's own.

    Raises:
        ConversationError: the model gives no vectors.
        PredictionFailed: it answered with something else.
        HeadraceError: as any call; the first text that fails ends it.
    """
    if not texts:
        return []
    if not abilities.gives("embeddings") and TRANSPORT not in abilities.methods:
        raise ConversationError(f"{model.ref} gives {', '.join(abilities.outputs)}, no embeddings")
    if TRANSPORT in abilities.methods and "embeddings" not in abilities.outputs:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), OPENAI_TEXTS):
            vectors += await _ask_openai(model, texts[start : start + OPENAI_TEXTS], timeout)
        return vectors
    options = {} if timeout is None else {"timeout": timeout}
    items = [Input.from_text(text) for text in texts]
    async with model.map(items, batch="auto", **options) as predictions:  # type: ignore[arg-type]
        return [_vector(model, prediction.embedding) async for prediction in predictions]


def _vector(model: Model, vector: memoryview[float]) -> list[float]:
    if not len(vector):
        raise PredictionFailed(f"{model.ref} answered without an embedding")
    return list(vector)


async def _ask_openai(model: Model, texts: Sequence[str], timeout: float | None) -> list[list[float]]:
    fields = {"model": model.id, "input": list(texts), "encoding_format": "float"}
    answer = transport.fields_of(await transport.request(model, transport.EMBEDDINGS, fields, timeout))
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != len(texts):
        raise PredictionFailed(f"{model.ref} gave no {len(texts)} embeddings", name="BAD_ANSWER")
    return [item["embedding"] for item in sorted(data, key=lambda item: item.get("index", 0))]


__all__ = ["OPENAI_TEXTS", "embed"]
