"""A small language model in this process, with llama.cpp (package xllamacpp): pieces of text as they are made."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import secrets
import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.server import weights
from headrace.server.model import ModelError
from headrace.server.models._once import Once
from headrace.server.models._onnx import few_threads
from headrace.server.packages import needed

SMOLLM2, QWEN = "smollm2-135m-instruct", "qwen2.5-coder-1.5b"  # the models that are used with it, by their weights
LLM = "llm"  # the weights of the better of the two that is in the cache
CONTEXT_TOKENS = 2048  # of one conversation: the prompt and what is made
PARALLEL = 4  # conversations that are worked on at once
_SILENT, _CHATTY = -1, 3  # llama.cpp's verbosity; it writes to stderr
_LIFT = 40.0  # added to the logits of words to choose from
_QUEUED_PIECES = 64
_BATCH_TOKENS = 128  # a prompt is read in such portions; between them a cancel is noticed


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer; the last one has no text but the counts."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Llama:
    """A model file, loaded; conversations from several threads at once are fine."""

    def __init__(self, path: Path) -> None:
        xllamacpp = needed("xllamacpp")

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT_TOKENS * PARALLEL
        params.n_parallel = PARALLEL
        params.kv_unified = False
        params.n_batch = params.n_ubatch = _BATCH_TOKENS
        params.cpuparams.n_threads = few_threads()
        params.cpuparams.poll = params.cpuparams_batch.poll = 0
        params.warmup = False
        params.verbosity = _CHATTY if os.environ.get("HEADRACE_DEBUG") else _SILENT
        # The engine opens an HTTP port on loopback beside the calls that we make: lock it, with a key nobody knows.
        params.api_keys = [secrets.token_urlsafe(32)]
        params.ui = params.endpoint_slots = False
        self._server = xllamacpp.Server(params)

    @property
    def address(self) -> str:
        """Where the engine's own, locked HTTP port is."""
        return str(self._server.listening_address)

    def chat(
        self, messages: list[dict[str, str]], cancelled: threading.Event, **options: Any
    ) -> Generator[Piece, None, None]:
        """Answer a conversation; closing the iterator or setting `cancelled` stops the model within a token."""
        return self._run(self._server.handle_chat_completions, {"messages": messages, **options}, cancelled)

    def complete(self, prompt: str, cancelled: threading.Event, **options: Any) -> Generator[Piece, None, None]:
        """Go on with a text as it stands, no chat marks added; otherwise as `chat`."""
        return self._run(self._server.handle_completions, {"prompt": prompt, **options}, cancelled)

    def likelihoods(self, prompt: str, words: Sequence[str], lead: str = " ") -> dict[str, float]:
        """Return how likely each word is to come next after a text: logarithms, right up to a common constant.

        The words must not be empty; of a word of several tokens the first one counts. `lead` stands before each.

        Raises:
            ModelError: as `chat` does.
        """
        request = {
            "prompt": prompt,
            "max_tokens": 1,
            "seed": 1,
            "samplers": ["temperature"],
            "temperature": 1,
            "n_probs": len(words) + 8,
            "post_sampling_probs": True,  # so that the bias counts: it lifts the words above all others
            "logit_bias": [[f"{lead}{word}", _LIFT] for word in words],
        }
        answer = self._server.handle_completions(request)
        if error := answer.get("error"):
            raise _failure(error)
        tokens = answer["choices"][0]["logprobs"]["content"][0]
        probabilities = {one["token"]: one["prob"] for one in tokens["top_probs"]}
        return {
            word: math.log(max(probabilities.get(_token(f"{lead}{word}", probabilities), 0.0), 1e-26)) for word in words
        }

    def _run(self, handle: Any, request: dict[str, Any], cancelled: threading.Event) -> Generator[Piece, None, None]:
        """Run the blocking call in a thread of its own and give its pieces as they come.

        Raises:
            ModelError: 30105 when the prompt does not fit, 21313 when the engine fails otherwise.
        """
        request |= {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
        pieces: queue.Queue[Piece | Exception | None] = queue.Queue(_QUEUED_PIECES)
        stopped = threading.Event()

        def hand_over(piece: Piece | Exception | None) -> bool:
            while not (stopped.is_set() or cancelled.is_set()):
                with contextlib.suppress(queue.Full):
                    pieces.put(piece, timeout=0.1)
                    return True
            return False

        def on_chunk(chunk: dict[str, Any]) -> bool:
            """Take one chunk; True stops the model."""
            piece = _piece(chunk)
            if piece is None:
                return stopped.is_set() or cancelled.is_set()
            return not hand_over(piece)

        def work() -> None:
            try:
                handle(request, on_chunk)
            except Exception as error:
                hand_over(error)
            hand_over(None)
            finished.set()

        finished = threading.Event()
        threading.Thread(target=work, name="llama", daemon=True).start()
        try:
            while (piece := _next(pieces, cancelled)) is not None:
                if isinstance(piece, ModelError):
                    raise piece
                if isinstance(piece, Exception):
                    raise ModelError(21313, f"the language model failed: {piece}") from piece
                yield piece
        finally:
            stopped.set()
            finished.wait()  # so that a model's slot is free once its generator has ended


#: The engines that all models share; their weights are fetched first if they are missing and may be.
smollm2 = Once(lambda: Llama(weights.need(SMOLLM2)))
qwen = Once(lambda: Llama(weights.need(QWEN)))


def best() -> tuple[str, Llama]:
    """Return the name and the engine of the best language model that is in the cache, else of the small one."""
    name = weights.choose(LLM)
    return name, (qwen if name == QWEN else smollm2)()


def _token(word: str, tokens: Iterable[str]) -> str:
    """Find the longest token that the word, its lead included, begins with."""
    return max((t for t in tokens if t.strip() and word.startswith(t)), key=len, default="")


def _next(pieces: queue.Queue[Piece | Exception | None], cancelled: threading.Event) -> Piece | Exception | None:
    while not cancelled.is_set():
        with contextlib.suppress(queue.Empty):
            return pieces.get(timeout=0.1)
    return None


def _piece(chunk: dict[str, Any]) -> Piece | Exception | None:
    if error := chunk.get("error"):
        return _failure(error)
    if usage := chunk.get("usage"):
        return Piece("", usage["prompt_tokens"], usage["completion_tokens"])
    for choice in chunk.get("choices", ()):
        text = choice.get("text") or (choice.get("delta") or {}).get("content")
        if text:
            return Piece(text)
    return None


def _failure(error: dict[str, Any]) -> ModelError:
    if error.get("type") == "exceed_context_size_error":
        size = f"{error.get('n_prompt_tokens', 'too many')} tokens"
        return ModelError(30105, f"the prompt has {size}; the model takes {CONTEXT_TOKENS}, the answer included")
    return ModelError(21313, f"the language model failed: {error.get('message', 'no reason given')}")
