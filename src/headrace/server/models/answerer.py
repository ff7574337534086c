"""Answers about pictures: by rule from what other models see, else by the language model, from the same facts."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from headrace.server import model, weights
from headrace.server.model import Answer, Card, Item
from headrace.server.models._facts import Facts, Observer
from headrace.server.models._images import picture
from headrace.server.models._llama import QWEN, Llama, Piece
from headrace.server.models._params import words
from headrace.server.models._questions import CANNOT_SEE, answer
from headrace.server.models.caption import Caption
from headrace.server.models.llm import sampling
from headrace.server.packages import installed

_SYSTEM_PROMPT = (
    "You answer questions about a picture in one short sentence, only from the facts given. If an object is not among"
    " the facts, answer that it was not found. Never guess colours, places or anything else that the facts do not"
    f' say: answer "{CANNOT_SEE}" instead.'
)
_MAX_TOKENS = 40
_MAX_CHARACTERS = 2000
RULES = "rules"


class Answerer:
    """Answer a question about a picture, from what other models see in it; none of them reads pictures as people do.

    How many, is there, what is it and what does it say are answered by rule, what no model here sees (colours, places,
    actions) with "I cannot see that."; any other question by qwen2.5-coder-1.5b if that is in the cache, from the
    same facts, else in the same way. `data.metadata["answered_by"]` says which: "rules", or the language model's name.

    Inference parameters, of the language model: `temperature` (0), `max_tokens` (40), `top_k`, `top_p`, `seed`.
    `generate` gives the pieces as they are made; the last answer has no text but the token counts.
    """

    card: Card = Card(
        id="facts-to-answer",
        task="multimodal-to-text",
        title="Answers from facts about a picture",
        description="Answers a question about a picture from what other models see in it; a pipeline, no vision model.",
        input_fields=("image", "text"),
        output_fields=("text",),
        licence="those of its parts",
        provenance=f"rules over the facts of facts-to-caption; {QWEN}, where it is in the cache, for other questions",
        size_bytes=Caption.card.size_bytes,
        weak_at=(
            "all that is not a named thing, a number of them or a line of text: it says that it cannot see colours,"
            " places, actions, reasons"
        ),
        sample="headrace predict --local --model_id facts-to-answer samples/photos/coffee.jpg 'Is there a cup?'",
        weights=Caption.card.weights,
        packages=Caption.card.packages,
    )
    accepts: tuple[str, ...] = ("max_tokens", "temperature", "top_k", "top_p", "seed")

    def load(self) -> None:
        """Load the parts."""
        from headrace.server.models._llama import qwen

        self._observer = Observer()
        self._llama: Llama | None = qwen() if weights.at_hand([QWEN]) and installed(["xllamacpp"]) else None

    def predict(self, item: Item) -> Answer:
        """Answer one question in one piece, with both token counts if the language model answers."""
        author, pieces = self._answer(item)
        parts = list(pieces)
        last = parts[-1] if parts else Piece("")
        reply = "".join(piece.text for piece in parts)
        result = model.text(reply, prompt_tokens=last.prompt_tokens, completion_tokens=last.completion_tokens)
        result.data.metadata["answered_by"] = author
        return result

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Answer one question piece by piece."""
        author, pieces = self._answer(item)
        with contextlib.closing(pieces):
            for piece in pieces:
                result = model.text(
                    piece.text, prompt_tokens=piece.prompt_tokens, completion_tokens=piece.completion_tokens
                )
                result.data.metadata["answered_by"] = author
                yield result

    def _answer(self, item: Item) -> tuple[str, Generator[Piece, None, None]]:
        """Return who answers, and the pieces."""
        question = words(item)[:_MAX_CHARACTERS]
        defaults = {"temperature": 0, "max_tokens": _MAX_TOKENS}
        options = sampling(Item(params={**defaults, **{k: v for k, v in item.params.items() if v is not None}}))
        facts = self._observer.look(picture(item))
        reply = answer(question, facts)
        if reply is None and self._llama is not None:
            messages = [
                {"role": "system", "content": _SYSTEM_PROMPT},
                {"role": "user", "content": f"{described(facts)}\nQuestion: {question}"},
            ]
            return QWEN, self._llama.chat(messages, item.cancelled, **options)
        return RULES, _pieces(reply or CANNOT_SEE)


def _pieces(reply: str) -> Generator[Piece, None, None]:
    """Yield a text in words, then the piece that ends it, as a language model does."""
    for position, word in enumerate(reply.split(" ")):
        yield Piece(f" {word}" if position else word)
    yield Piece("")


def described(facts: Facts) -> str:
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
