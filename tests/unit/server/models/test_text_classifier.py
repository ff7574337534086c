"""Sentiment of texts."""

from __future__ import annotations

import pytest

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models._data import shipped
from headrace.server.models.text_classifier import Sentiment


@pytest.fixture(scope="module")
def sentiment() -> Sentiment:
    model = Sentiment()
    model.load()
    return model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (shipped("samples/texts/good-review.txt").read_text(), "positive"),
        (shipped("samples/texts/bad-review.txt").read_text(), "negative"),
        ("The train leaves at nine.", "neutral"),
        ("This is not good at all.", "negative"),
    ],
)
def test_it_hears_the_tone(sentiment: Sentiment, text: str, expected: str) -> None:
    concepts = sentiment.predict(Item(text=text)).data.concepts
    assert concepts[0].name == expected
    assert len(concepts) == 3
    assert sum(concept.value for concept in concepts) == pytest.approx(1)


def test_the_output_configuration_is_honoured(sentiment: Sentiment) -> None:
    config = OutputConfig(max_concepts=1)
    assert [c.name for c in sentiment.predict(Item(text="I love it", config=config)).data.concepts] == ["positive"]


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_an_empty_text_is_refused(sentiment: Sentiment, text: str | None) -> None:
    with pytest.raises(ModelError) as caught:
        sentiment.predict(Item(text=text))
    assert caught.value.code == 30104
