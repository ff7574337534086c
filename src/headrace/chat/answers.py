"""What a model says in a conversation: in pieces, and whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.results import Usage


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call of a tool; those with the same `index` belong together.

    Attributes:
        arguments: the next characters of the arguments' JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for; `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer; what it does not bring is empty.

    Attributes:
        text: the next characters of the answer.
        reasoning: the next characters of what the model thinks before it answers.
        refusal: the next characters of why it does not answer.
        finish_reason: why the answer ended: "stop", "length", "tool_calls", "content_filter".
        usage: what the answer cost, where the model counts.
        id, model: as the model calls its answer and itself.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; see `Delta` for the fields."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    id: str = ""
    model: str = ""

    @property
    def delta(self) -> Delta:
        """The whole answer as one piece."""
        calls = tuple(ToolCallDelta(call.index, call.id, call.name, call.arguments) for call in self.tool_calls)
        return Delta(
            self.text, self.reasoning, self.refusal, calls, self.finish_reason, self.usage, self.id, self.model
        )

    def with_delta(self, delta: Delta) -> Answer:
        """Give the answer with one more piece."""
        return Answer(
            self.text + delta.text,
            self.reasoning + delta.reasoning,
            self.refusal + delta.refusal,
            _extended(self.tool_calls, delta.tool_calls) if delta.tool_calls else self.tool_calls,
            delta.finish_reason or self.finish_reason,
            delta.usage or self.usage,
            delta.id or self.id,
            delta.model or self.model,
        )


def delta_of(fields: Mapping[str, Any]) -> Delta:
    """Read a completion of OpenAI's API, or a chunk of one: its first choice, and the usage."""
    choices = fields.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    message = choice.get("delta") or choice.get("message") or {}
    return Delta(
        text=_text(message.get("content")),
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        refusal=_text(message.get("refusal")),
        tool_calls=tuple(_call(position, call) for position, call in enumerate(message.get("tool_calls") or ())),
        finish_reason=_text(choice.get("finish_reason")),
        usage=_usage(fields.get("usage")),
        id=_text(fields.get("id")),
        model=_text(fields.get("model")),
    )


def _text(content: Any) -> str:
    """Give the text of a message, which some models give in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, Mapping) and part.get("text"))
    return ""


def _call(position: int, fields: Mapping[str, Any]) -> ToolCallDelta:
    function = fields.get("function") or {}
    index = fields.get("index")
    return ToolCallDelta(
        index if isinstance(index, int) else position,
        fields.get("id") or "",
        function.get("name") or "",
        function.get("arguments") or "",
    )


def _extended(calls: tuple[ToolCall, ...], deltas: Sequence[ToolCallDelta]) -> tuple[ToolCall, ...]:
    longer = {call.index: call for call in calls}
    for delta in deltas:
        call = longer.get(delta.index, ToolCall("", "", "", delta.index))
        longer[delta.index] = ToolCall(
            call.id or delta.id, call.name + delta.name, call.arguments + delta.arguments, delta.index
        )
    return tuple(longer[index] for index in sorted(longer))


def _usage(fields: Any) -> Usage | None:
    if not isinstance(fields, Mapping):
        return None
    details = fields.get("prompt_tokens_details") or {}
    return Usage(
        fields.get("prompt_tokens") or 0, fields.get("completion_tokens") or 0, details.get("cached_tokens") or 0
    )


__all__ = ["Answer", "Delta", "ToolCall", "ToolCallDelta", "delta_of"]
