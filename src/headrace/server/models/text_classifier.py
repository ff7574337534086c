"""Sentiment of English text by VADER's word list and rules."""

from __future__ import annotations

import math

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models._params import words

_STEEPNESS = 6.0
_NEUTRAL = 0.6  # the border to positive and negative lies at a polarity of 0.1


class Sentiment:
    """Say whether a text is positive, neutral or negative: three concepts whose values add up to 1.

    The values are VADER's polarity (-1..1) spread over three classes: an order, no calibrated probability.
    """

    card: Card = Card(
        id="vader-sentiment",
        task="text-classifier",
        title="VADER sentiment",
        description="Says whether an English text sounds positive, neutral or negative, by a word list and rules.",
        input_fields=("text",),
        output_fields=("concepts",),
        licence="MIT",
        provenance="package vaderSentiment 3.3.2 (C.J. Hutto and E.E. Gilbert, 2014); not a neural network",
        size_bytes=426_000,
        weak_at="sarcasm, feelings that no single word shows, languages other than English",
        sample="headrace predict --local --model_id vader-sentiment --bytes 'I love this!' --input_type text",
    )
    accepts: tuple[str, ...] = ()

    def load(self) -> None:
        """Read the word list."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyser = SentimentIntensityAnalyzer()

    def predict(self, item: Item) -> Answer:
        """Classify one text."""
        polarity = float(self._analyser.polarity_scores(words(item))["compound"])
        weights = {
            "positive": math.exp(_STEEPNESS * polarity),
            "neutral": math.exp(_NEUTRAL),
            "negative": math.exp(-_STEEPNESS * polarity),
        }
        total = sum(weights.values())
        return model.concepts([(name, weight / total) for name, weight in weights.items()], item.config)
