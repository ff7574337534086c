"""A conversation as one input of a model: its last message, with what came before as parameters or as text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from headrace.inputs import Input, is_url
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.requests import Message

HISTORY, SYSTEM = "chat_history", "system_prompt"
_SYSTEM_ROLES = ("system", "developer")
_NAMES = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}


def as_input(messages: Sequence[Message], served: Served) -> tuple[Input, dict[str, Any]]:
    """Convert a conversation to the model's form; return the input and inference parameters.

    A model with the parameters `chat_history` and `system_prompt` gets the conversation in them, for its own chat
    template to use. Any other gets it as text, a line for each message, if there is more than one.

    Raises:
        Refusal: the last message cannot be answered, or holds a picture that the model does not take.
    """
    *before, last = messages
    if last.role in _SYSTEM_ROLES or last.role == "assistant":
        raise Refusal(400, "The last message must be the user's.", param=f"messages.{len(before)}.role")
    if any(message.pictures for message in before):
        raise Refusal(400, "Only the last message may hold pictures.", param="messages")
    params: dict[str, Any] = {}
    if served.takes(SYSTEM):
        system = [message.text for message in before if message.role in _SYSTEM_ROLES]
        before = [message for message in before if message.role not in _SYSTEM_ROLES]
        if system:
            params[SYSTEM] = "\n".join(system)
    if before and served.takes(HISTORY):
        params[HISTORY] = [{"role": _role(message), "content": message.text} for message in before]
        before = []
    return _input(written(before, last), last.pictures, served), params


def written(before: Sequence[Message], last: Message) -> str:
    """Write a conversation as text: the last message alone, or all with their roles, up to the answer's beginning."""
    if not before:
        return last.text
    lines = [f"{_NAMES.get(message.role, 'User')}: {message.text}" for message in (*before, last)]
    return "\n".join([*lines, "Assistant:"])


def _role(message: Message) -> str:
    return "system" if message.role == "developer" else message.role if message.role in _NAMES else "user"


def _input(text: str, pictures: Sequence[str], served: Served) -> Input:
    if not pictures:
        return Input.from_text(text)
    if len(pictures) > 1:
        raise Refusal(400, f"The model takes one picture, not {len(pictures)}.", param="messages")
    if served.inputs and "image" not in served.inputs:
        raise Refusal(
            400, f"The model {served.name!r} takes no pictures.", param="messages", code="unsupported_content"
        )
    text_too = text if text or "text" in served.inputs else None
    url = pictures[0]
    if url.startswith("data:"):
        return Input.multimodal(text=text_too, image_bytes=decoded(url))
    if not is_url(url):
        raise Refusal(
            400, "A picture's url must be an http(s) or a data URL.", param="messages", code="invalid_image_url"
        )
    return Input.multimodal(text=text_too, image_url=url)


def decoded(url: str) -> bytes:
    """Return the bytes of a data URL.

    Raises:
        Refusal: 400, it is not in base64.
    """
    head, comma, content = url.partition(",")
    try:
        if comma and head.endswith(";base64"):
            return base64.b64decode(content, validate=True)
    except binascii.Error:
        pass
    raise Refusal(400, "The data URL of a picture must be in base64.", param="messages", code="invalid_image_url")
