"""A stream's items, end and failure as JSON values for browsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from headrace.errors import HeadraceError
from headrace.results import Prediction


def as_message(item: Any) -> Any:
    """Encode an item: a piece of text as `{"text": ...}` (with its `metadata`, if any), any other prediction whole.

    Everything else is sent as it is.
    """
    if not isinstance(item, Prediction):
        return item
    if item.error is not None:
        return failure_message(item.error) | {"position": item.position}
    fields = {field.name for field, _ in item.data.ListFields()}
    if fields - {"text", "metadata"}:
        return item.to_dict()
    metadata = MessageToDict(item.data.metadata) if "metadata" in fields else {}
    return {"text": item.text, "metadata": metadata} if metadata else {"text": item.text}


def failure_message(error: Exception) -> dict[str, Any]:
    """Encode a failure; of one that is not headrace's own, only that it happened."""
    if not isinstance(error, HeadraceError):
        return {"error": {"type": "ServerError", "code": None, "message": "the server failed"}}
    return {"error": {"type": type(error).__name__, "code": error.code, "message": error.message}}


@dataclass(slots=True)
class End:
    """The tokens of a stream, counted as its items come."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, item: Any) -> None:
        """Add an item's."""
        if isinstance(item, Prediction) and item.error is None:
            usage = item.usage
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens

    @property
    def message(self) -> dict[str, Any]:
        """The content of the last event."""
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
