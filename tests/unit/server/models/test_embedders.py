"""Vectors of pictures and of texts: like things are near, others are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from headrace.server.model import Answer, Item, ModelError, to_answer
from headrace.server.models.embedder import ImageEmbedder
from headrace.server.models.text_embedder import MAX_TOKENS, NETWORK, TOKENIZER, TextEmbedder


def vector(answer: Answer) -> NDArray[np.float64]:
    (embedding,) = answer.data.embeddings
    found = np.array(embedding.vector)
    assert len(found) == embedding.num_dimensions
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    return found


@pytest.fixture(scope="module")
def pictures() -> ImageEmbedder:
    model = ImageEmbedder()
    model.load()
    return model


@pytest.fixture(scope="module")
def texts(fetched: Callable[[str], Path]) -> TextEmbedder:
    fetched(NETWORK)
    fetched(TOKENIZER)
    model = TextEmbedder()
    model.load()
    return model


def test_a_mirrored_cat_is_near_and_a_rocket_far(pictures: ImageEmbedder, photo: Callable[[str], bytes]) -> None:
    target = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(photo("cat")))).save(target, "PNG")
    cat, mirrored, rocket = (
        vector(pictures.predict(Item(image=data))) for data in (photo("cat"), target.getvalue(), photo("rocket"))
    )
    assert len(cat) == 1280
    assert cat @ mirrored > 0.9
    assert cat @ rocket < 0.4


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "like", "unlike", "cosine"),
    [
        ("A cat sits on the mat.", "A kitten is sitting on a rug.", "Stock prices fell sharply.", 0.70),
        ("How do I reset my password?", "I cannot log in to my account.", "The soup was delicious.", 0.58),
    ],
)
def test_like_meanings_are_near(texts: TextEmbedder, text: str, like: str, unlike: str, cosine: float) -> None:
    a, b, c = (vector(texts.predict(Item(text=one))) for one in (text, like, unlike))
    assert len(a) == 384
    assert a @ b == pytest.approx(cosine, abs=0.03)
    assert a @ c < 0.2


@pytest.mark.models
def test_tokens_are_counted_up_to_the_limit(texts: TextEmbedder) -> None:
    assert texts.predict(Item(text="hello")).prompt_tokens == 3  # the word between the two marks
    assert texts.predict(Item(text="hello " * 1000)).prompt_tokens == MAX_TOKENS


@pytest.mark.models
def test_texts_embedded_together_get_what_they_get_alone(texts: TextEmbedder) -> None:
    said = [f"Sentence number {i} is about {'rivers and mills ' * i}" for i in range(12)]
    alone = [vector(texts.predict(Item(text=one))) for one in said]
    together = texts.predict_many([Item(text=one) for one in [*said, ""]])
    assert isinstance(together.pop(), ModelError)  # the empty text, and only that
    for one, other in zip(alone, map(vector, map(to_answer, together)), strict=True):
        assert one @ other > 0.995  # int8 arithmetic depends a little on what else is in the run


@pytest.mark.models
def test_an_empty_text_is_refused(texts: TextEmbedder) -> None:
    with pytest.raises(ModelError) as caught:
        texts.predict(Item(text=" "))
    assert caught.value.code == 30104
