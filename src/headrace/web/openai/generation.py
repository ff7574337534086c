"""A text being generated: pieces, cut at stop texts, then its token usage and the reason of its end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from headrace.inputs import Input
from headrace.results import Prediction
from headrace.web.directory import Served


class Stops:
    """Cuts a text that comes in pieces at the first of some stop texts, which may lie across pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.met = False

    def add(self, piece: str) -> str:
        """Take the next piece; return the text that is certainly before any stop text."""
        if not self._stops:
            return piece
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.met, self._held = True, ""
            return text[: min(places)]
        keep = max(
            (size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """Return what was held back, at the end of the text."""
        rest, self._held = self._held, ""
        return rest


class Generation:
    """One answer being made.

    Attributes:
        prompt_tokens, completion_tokens: as the model counts them; if it does not, or was stopped before it did, the
            prompt's are 0 and those of the answer are its pieces.
        finish_reason: "stop", or "length" if as many tokens came as were asked for at most; set at the end.
    """

    def __init__(
        self, served: Served, item: Input, params: Mapping[str, Any], stops: Sequence[str] = (), streamed: bool = True
    ) -> None:
        self._served = served
        self._item = item
        self._params = dict(params)
        if stops and served.takes("stop"):  # so that the model ends by itself, and counts
            self._params["stop"] = list(stops)
        self._stops = Stops(stops)
        self._streamed = streamed and served.streams
        self.prompt_tokens = self.completion_tokens = 0
        self.finish_reason = "stop"

    @property
    def usage(self) -> dict[str, Any]:
        """The cost in OpenAI's form."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    async def pieces(self) -> AsyncGenerator[str, None]:
        """Yield the text piece by piece; closing it early stops the model. Pieces are never empty."""
        pieces = 0
        async with contextlib.aclosing(self._predictions()) as predictions:
            async for prediction in predictions:
                usage = prediction.usage
                self.prompt_tokens += usage.prompt_tokens
                self.completion_tokens += usage.completion_tokens
                pieces += bool(prediction.text)
                if text := self._stops.add(prediction.text):
                    yield text
                if self._stops.met:
                    break
        self.completion_tokens = self.completion_tokens or pieces
        if rest := self._stops.rest():
            yield rest
        limit = self._params.get("max_tokens")
        if not self._stops.met and limit is not None and self.completion_tokens >= limit:
            self.finish_reason = "length"

    async def text(self) -> str:
        """Wait for the whole text."""
        async with contextlib.aclosing(self.pieces()) as pieces:
            return "".join([piece async for piece in pieces])

    async def _predictions(self) -> AsyncGenerator[Prediction, None]:
        model = self._served.model
        if not self._streamed:
            yield await model.predict(self._item, inference_params=self._params)
            return
        async with model.generate(self._item, inference_params=self._params) as stream:
            async for prediction in stream:
                yield prediction
