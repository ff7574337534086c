"""A conversation of OpenAI's API as one input of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.chat import conversation
from headrace.inputs import Input
from headrace.web.directory import Served
from headrace.web.failures import Refusal
from headrace.web.openai.requests import Message


def as_input(messages: Sequence[Message], served: Served) -> tuple[Input, dict[str, Any]]:
    """Convert a conversation to the model's form; return the input and inference parameters.

    Raises:
        Refusal: the last message cannot be answered, or holds a picture that the model does not take.
    """
    said = [
        conversation.Message(
            message.role, message.text, tuple(conversation.Medium("image", url) for url in message.pictures)
        )
        for message in messages
    ]
    try:
        return conversation.as_input(said, served, served.name)
    except conversation.ConversationError as error:
        raise Refusal(400, error.message, param=error.field, code=error.reason) from None
