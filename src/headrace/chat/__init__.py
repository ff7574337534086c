"""Conversations with a model, whichever way it takes them: what adapters for other libraries are built on.

`Dialogue(model).stream(ChatRequest(messages))` gives the answer piece by piece, `.answer(...)` the whole of it, and
`.embed(texts)` vectors.
"""

from headrace.chat.abilities import Abilities, abilities_of
from headrace.chat.answers import Answer, Delta, ToolCall, ToolCallDelta
from headrace.chat.conversation import ConversationError
from headrace.chat.dialogue import ChatRequest, Dialogue

__all__ = [
    "Abilities",
    "Answer",
    "ChatRequest",
    "ConversationError",
    "Delta",
    "Dialogue",
    "ToolCall",
    "ToolCallDelta",
    "abilities_of",
]
