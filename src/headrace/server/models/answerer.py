"""Answers about pictures: what four models see is told to a language model, with the question."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models._facts import Facts, Observer
from headrace.server.models._images import picture
from headrace.server.models._llama import SMOLLM2, Llama, Piece
from headrace.server.models._params import words
from headrace.server.models.caption import Caption
from headrace.server.models.llm import sampling

_SYSTEM_PROMPT = "You answer questions about a picture in one short sentence, from the facts given."
_MOST_TOKENS = 40  # it begins to ramble soon after
_MOST_CHARACTERS = 2000


class Answerer:
    """Answer a question about a picture, from what other models see in it; the language model never sees the picture.

    Inference parameters: `temperature` (0), `max_tokens` (40), `top_k`, `top_p`, `seed` as of smollm2-135m-instruct.
    `generate` gives the pieces as they are made; the last answer has no text but the token counts.
    """

    card = Card(
        id="facts-to-answer",
        task="multimodal-to-text",
        title="Answers from facts about a picture",
        description="Answers a question about a picture from what other models see in it; a pipeline, no vision model.",
        input_fields=("image", "text"),
        output_fields=("text",),
        licence="those of its parts",
        provenance=f"built of facts-to-caption and {SMOLLM2}: the facts of the first go into the prompt of the second",
        size_bytes=Caption.card.size_bytes + 98_362_432,
        weak_at="all that is not a named thing or a line of text: colours, places, actions, numbers, reasons",
        sample=("headrace predict --local --model_id facts-to-answer --file_path coffee.jpg 'What drink is this?'"),
        weights=(*Caption.card.weights, SMOLLM2),
    )
    accepts: tuple[str, ...] = ("max_tokens", "temperature", "top_k", "top_p", "seed")

    def load(self) -> None:
        """Load the parts."""
        from headrace.server.models._llama import smollm2

        self._observer = Observer()
        self._llama: Llama = smollm2()

    def predict(self, item: Item) -> Answer:
        """Answer one question at once, with both token counts."""
        pieces = list(self._ask(item))
        last = pieces[-1] if pieces else Piece("")
        said = "".join(piece.text for piece in pieces)
        return model.text(said, prompt_tokens=last.prompt_tokens, completion_tokens=last.completion_tokens)

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Answer one question piece by piece."""
        with contextlib.closing(self._ask(item)) as pieces:
            for piece in pieces:
                yield model.text(
                    piece.text, prompt_tokens=piece.prompt_tokens, completion_tokens=piece.completion_tokens
                )

    def _ask(self, item: Item) -> Generator[Piece, None, None]:
        question = words(item)[:_MOST_CHARACTERS]
        defaults = {"temperature": 0, "max_tokens": _MOST_TOKENS}
        options = sampling(Item(params={**defaults, **{k: v for k, v in item.params.items() if v is not None}}))
        facts = self._observer.look(picture(item))
        messages = [
            {"role": "system", "content": _SYSTEM_PROMPT},
            {"role": "user", "content": f"{told(facts)}\nQuestion: {question}"},
        ]
        return self._llama.chat(messages, item.cancelled, **options)


def told(facts: Facts) -> str:
    """Put facts into lines for the language model."""
    lines = ["Facts about the picture:"]
    if facts.subject:
        lines.append(f"Main subject: {facts.subject}.")
    if facts.objects:
        lines.append(f"Objects found: {', '.join(f'{name} ({count})' for name, count in facts.objects.items())}.")
    if facts.lines:
        lines.append(f"Text in the picture: {facts.text()}")
    if len(lines) == 1:
        lines.append("Nothing was recognised.")
    return "\n".join(lines)
