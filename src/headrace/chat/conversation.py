"""A conversation as one input of a model: its last message, with what came before as parameters or as text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from headrace.chat.abilities import Abilities
from headrace.errors import ConfigError
from headrace.inputs import Input, is_url

HISTORY, SYSTEM = "chat_history", "system_prompt"

Kind: TypeAlias = Literal["image", "audio", "video"]

_SYSTEM_ROLES = ("system", "developer")
_NAMES = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}
_KINDS: dict[str, Kind] = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
}
_WORDS = {"image": ("picture", "pictures"), "audio": ("sound", "sounds"), "video": ("video", "videos")}
_TEXTS = ("text", "input_text", "output_text")


class ConversationError(ConfigError):
    """Messages are malformed, or hold what the model does not take; nothing was sent.

    Attributes:
        field: which part of the messages, such as "messages.2.content".
        reason: OpenAI's code for it, such as "unsupported_content", or None.
    """

    def __init__(self, message: str, *, field: str = "messages", reason: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class Medium(NamedTuple):
    """A picture, sound or video of a message: its http(s) or data URL."""

    kind: Kind
    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: who says it, its text, and the media beside the text."""

    role: str
    text: str = ""
    media: tuple[Medium, ...] = ()


def messages_of(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Read messages in OpenAI's form, for a model that takes texts and media but no tools.

    Raises:
        ConversationError: one is malformed, of an unknown role or kind of content, or belongs to the use of tools.
    """
    return [_message(message, f"messages.{position}") for position, message in enumerate(messages)]


def as_input(messages: Sequence[Message], abilities: Abilities, name: str) -> tuple[Input, dict[str, Any]]:
    """Convert a conversation to the model's form; return the input and inference parameters.

    A model with the parameters `chat_history` and `system_prompt` gets the conversation in them, for its own chat
    template to use. Any other gets it as text, a line for each message, where there is more than one.

    Args:
        name: the model's, for error messages.

    Raises:
        ConversationError: there are no messages, the last one is not the user's, or the model does not take what it
            holds.
    """
    if not messages:
        raise ConversationError("There are no messages.")
    *before, last = messages
    if last.role in _SYSTEM_ROLES or last.role == "assistant":
        raise ConversationError("The last message must be the user's.", field=f"messages.{len(before)}.role")
    for message in before:
        for medium in message.media:
            raise ConversationError(f"Only the last message may hold {_WORDS[medium.kind][1]}.")
    params: dict[str, Any] = {}
    if abilities.takes(SYSTEM):
        system = [message.text for message in before if message.role in _SYSTEM_ROLES]
        before = [message for message in before if message.role not in _SYSTEM_ROLES]
        if system:
            params[SYSTEM] = "\n".join(system)
    if before and abilities.takes(HISTORY):
        params[HISTORY] = [{"role": _role(message), "content": message.text} for message in before]
        before = []
    return _input(written(before, last), last.media, abilities, name), params


def written(before: Sequence[Message], last: Message) -> str:
    """Write a conversation as text: the last message alone, or all with their roles, up to the answer's beginning."""
    if not before:
        return last.text
    lines = [f"{_NAMES.get(message.role, 'User')}: {message.text}" for message in (*before, last)]
    return "\n".join([*lines, "Assistant:"])


def _role(message: Message) -> str:
    return "system" if message.role == "developer" else message.role if message.role in _NAMES else "user"


def _input(text: str, media: Sequence[Medium], abilities: Abilities, name: str) -> Input:
    if not media:
        return Input.from_text(text)
    parts: dict[str, Any] = {"text": text if text or "text" in abilities.inputs else None}
    for kind, url in media:
        one, many = _WORDS[kind]
        if not abilities.accepts(kind):
            raise ConversationError(f"The model {name!r} takes no {many}.", reason="unsupported_content")
        if (count := sum(medium.kind == kind for medium in media)) > 1:
            raise ConversationError(f"The model takes one {one}, not {count}.")
        if url.startswith("data:"):
            parts[f"{kind}_bytes"] = _decoded(url, kind)
        elif is_url(url):
            parts[f"{kind}_url"] = url
        else:
            reason = f"invalid_{kind}_url"
            raise ConversationError(f"A {one}'s url must be an http(s) or a data URL.", reason=reason)
    return Input.multimodal(**parts)


def _decoded(url: str, kind: Kind) -> bytes:
    """Decode a data URL."""
    head, comma, content = url.partition(",")
    try:
        if comma and head.endswith(";base64"):
            return base64.b64decode(content, validate=True)
    except binascii.Error:
        pass
    raise ConversationError(f"The data URL of a {_WORDS[kind][0]} must be in base64.", reason=f"invalid_{kind}_url")


def _message(fields: Mapping[str, Any], field: str) -> Message:
    role, content = fields.get("role"), fields.get("content")
    if role in ("tool", "function") or fields.get("tool_calls"):
        raise ConversationError(
            f"{field} belongs to the use of tools, and the model takes no tools", field=field, reason="no_tools"
        )
    if role not in _NAMES:
        raise ConversationError(f"{field}.role must be one of {', '.join(_NAMES)}, not {role!r:.60}", field=field)
    if content is None or isinstance(content, str):
        return Message(role, content or "")
    if not isinstance(content, Sequence):
        raise ConversationError(f"{field}.content must be a text or a list of parts", field=field)
    texts: list[str] = []
    media: list[Medium] = []
    for position, part in enumerate(content):
        place = f"{field}.content.{position}"
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in _TEXTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in _KINDS:
            media.append(Medium(_KINDS[kind], _url(kind, part, place)))
        elif kind != "refusal":
            known = ", ".join(("text", *_KINDS))
            raise ConversationError(
                f"{place} is a part of type {kind!r:.60}, which the model does not take; known are {known}",
                field=place,
                reason="unsupported_content",
            )
    return Message(role, "\n".join(text for text in texts if text), tuple(media))


def _url(kind: str, part: Mapping[str, Any], place: str) -> str:
    """Find where a part's content is; a sound in base64 becomes a data URL."""
    value = part.get(kind if kind != "input_image" else "image_url")
    if kind == "input_audio" and isinstance(value, Mapping) and isinstance(value.get("data"), str):
        return f"data:audio/{value.get('format', 'wav')};base64,{value['data']}"
    url = value.get("url") if isinstance(value, Mapping) else value
    if not isinstance(url, str):
        raise ConversationError(f"{place}: a part of type {kind} needs its URL or content", field=place)
    return url


__all__ = ["HISTORY", "SYSTEM", "ConversationError", "Kind", "Medium", "Message", "as_input", "messages_of", "written"]
