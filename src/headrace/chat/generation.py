"""A text being generated: pieces, cut at stop texts, then its token usage and the reason of its end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.chat.abilities import Abilities
from headrace.chat.stops import Stops
from headrace.inputs import Input
from headrace.results import Prediction

if TYPE_CHECKING:
    from headrace.model import Model


class Generation:
    """One answer being made by a model that takes an input and inference parameters.

    Args:
        item: what is sent.
        params: the inference parameters.
        stops: texts at which the answer ends.
        streamed: ask for pieces, if the model gives some.
        timeout: seconds for the call, or None for the client's own.

    Attributes:
        prompt_tokens, completion_tokens: as the model counts them; if it does not, or was stopped before it did, the
            prompt's are 0 and those of the answer are its pieces.
        counted: whether the model counted them.
        finish_reason: "stop", or "length" if as many tokens came as were asked for at most; set at the end.
    """

    def __init__(
        self,
        model: Model,
        abilities: Abilities,
        item: Input,
        params: Mapping[str, Any],
        stops: Sequence[str] = (),
        *,
        streamed: bool = True,
        timeout: float | None = None,
    ) -> None:
        self._model = model
        self._item = item
        self._params = dict(params)
        if stops and abilities.takes("stop"):  # so that the model ends by itself, and counts
            self._params["stop"] = list(stops)
        self._stops = Stops(stops)
        self._streamed = streamed and abilities.streams
        self._timeout = timeout
        self.prompt_tokens: int = 0
        self.completion_tokens: int = 0
        self.counted: bool = False
        self.finish_reason: str = "stop"

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
        self.counted = self.prompt_tokens + self.completion_tokens > 0
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
        options: dict[str, Any] = {"inference_params": self._params}
        if self._timeout is not None:
            options["timeout"] = self._timeout
        if not self._streamed:
            yield await self._model.predict(self._item, **options)
            return
        async with self._model.generate(self._item, **options) as stream:
            async for prediction in stream:
                yield prediction


__all__ = ["Generation"]
