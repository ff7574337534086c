"""Conversing with a model, whichever way it takes conversations: what adapters for other libraries are made of."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headrace.chat import transport
from headrace.chat.abilities import STREAM_TRANSPORT, TRANSPORT, Abilities, abilities_of
from headrace.chat.answers import Answer, Delta, delta_of
from headrace.chat.conversation import ConversationError, as_input, messages_of
from headrace.chat.embedding import embed
from headrace.chat.generation import Generation
from headrace.results import Usage
from headrace.support.later import later

if TYPE_CHECKING:
    from headrace.model import Model
else:
    Model = later("headrace.model", "Model")

#: Fields of OpenAI's API that only a model that speaks it itself can honour, and the values that ask for nothing.
_NEEDS_OPENAI: Mapping[str, tuple[Any, ...]] = {
    "tools": ([],),
    "response_format": ({"type": "text"},),
    "functions": ([],),
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
}
#: Fields that mean nothing without those.
_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a model is to answer.

    Attributes:
        messages: the conversation in OpenAI's form: `{"role": ..., "content": ...}`.
        params: sampling parameters: `temperature`, `max_tokens`, `top_p`, `seed`, and any other that the model has;
            a model that speaks OpenAI's API gets `tools`, `tool_choice`, `response_format` and all else here as well.
        stop: texts at which the answer ends, before them.
        timeout: seconds for the answer, or for its first piece; None: the client's own.
    """

    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    stop: Sequence[str] = ()
    timeout: float | None = None


class Dialogue:
    """A model to converse with.

    A model that publishes `openai_transport` or `openai_stream_transport` gets the request as it is, with tools and
    all kinds of content. Any other gets the conversation by its parameters `chat_history` and `system_prompt`, else as
    text; it takes media in the last message, as far as it takes them at all, and no tools.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._abilities: Abilities | None = None

    def __repr__(self) -> str:
        return f"<Dialogue with {self.model.ref}>"

    async def abilities(self) -> Abilities:
        """Look up what the model can do; remembered."""
        if self._abilities is None:
            self._abilities = await abilities_of(self.model)
        return self._abilities

    async def answer(self, request: ChatRequest) -> Answer:
        """Wait for the whole answer.

        Raises:
            ConversationError: the messages are malformed, or ask for what the model does not have.
            HeadraceError: as any call of a model.
        """
        answer = Answer()
        async with contextlib.aclosing(self._deltas(request, streamed=False)) as deltas:
            async for delta in deltas:
                answer = answer.with_delta(delta)
        return answer

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Give the answer in pieces, as the model makes them; closing it early stops the model on the server.

        Raises (from reading):
            ConversationError, HeadraceError: as `answer`; StreamBroken has the text so far.
        """
        return self._deltas(request, streamed=True)

    async def embed(self, texts: Sequence[str], timeout: float | None = None) -> list[list[float]]:
        """Give the vector of each text, in order; texts share requests, as many as the limits allow.

        Args:
            timeout: seconds for each request, or None for the client's own.

        Raises:
            ConversationError: the model gives no vectors.
            HeadraceError: as any call; the first text that fails ends it.
        """
        return await embed(self.model, await self.abilities(), texts, timeout)

    async def _deltas(self, request: ChatRequest, *, streamed: bool) -> AsyncGenerator[Delta, None]:
        if not request.messages:
            raise ConversationError("There are no messages.")
        abilities = await self.abilities()
        ask = self._ask_openai if abilities.speaks_openai else self._ask
        async with contextlib.aclosing(ask(request, abilities, streamed)) as deltas:
            async for delta in deltas:
                yield delta

    async def _ask_openai(
        self, request: ChatRequest, abilities: Abilities, streamed: bool
    ) -> AsyncGenerator[Delta, None]:
        fields: dict[str, Any] = {"model": self.model.id, "messages": list(request.messages), **request.params}
        if request.stop:
            fields["stop"] = list(request.stop)
        if not (streamed and STREAM_TRANSPORT in abilities.methods) and TRANSPORT in abilities.methods:
            text = await transport.request(self.model, transport.CHAT, fields, request.timeout)
            yield delta_of(transport.fields_of(text))
            return
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
        usage: Usage | None = None
        delta = Delta()
        async with contextlib.aclosing(transport.stream(self.model, transport.CHAT, fields, request.timeout)) as events:
            async for event in events:
                delta = delta_of(transport.fields_of(event))
                usage = delta.usage or usage  # some count anew with each piece
                yield replace(delta, usage=None)
        if usage is not None:
            yield Delta(usage=usage, id=delta.id, model=delta.model)

    async def _ask(self, request: ChatRequest, abilities: Abilities, streamed: bool) -> AsyncGenerator[Delta, None]:
        params = self._checked(request.params, abilities)
        item, conversation = as_input(messages_of(request.messages), abilities, self.model.id)
        generation = Generation(
            self.model,
            abilities,
            item,
            conversation | params,
            request.stop,
            streamed=streamed,
            timeout=request.timeout,
        )
        async with contextlib.aclosing(generation.pieces()) as pieces:
            async for piece in pieces:
                yield Delta(text=piece, model=self.model.id)
        usage = Usage(generation.prompt_tokens, generation.completion_tokens) if generation.counted else None
        yield Delta(finish_reason=generation.finish_reason, usage=usage, model=self.model.id)

    def _checked(self, params: Mapping[str, Any], abilities: Abilities) -> dict[str, Any]:
        """Give the inference parameters.

        Raises:
            ConversationError: the model answers with no text, or cannot do what one of them asks for.
        """
        if not abilities.gives("text"):
            raise ConversationError(f"{self.model.ref} gives {', '.join(abilities.outputs)}: it answers no messages")
        for name, harmless in _NEEDS_OPENAI.items():
            if params.get(name) is not None and params[name] not in harmless and not abilities.takes(name):
                raise ConversationError(
                    f"{self.model.ref} takes no {name}: only models that publish {TRANSPORT} or {STREAM_TRANSPORT} do",
                    field=name,
                    reason="unsupported_parameter",
                )
        ignored = [*_NEEDS_OPENAI, *_WITH_TOOLS]
        return {
            name: value
            for name, value in params.items()
            if value is not None and (name not in ignored or abilities.takes(name))
        }


__all__ = ["ChatRequest", "Dialogue"]
