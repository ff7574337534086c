"""The blocking class for each of the streams that the asyncio API may give."""

from __future__ import annotations

from typing import Any

from headrace.blocking.streams import MethodCall, TokenStream
from headrace.calls.generate.stream import TokenStream as AsyncTokenStream
from headrace.methods.call import MethodCall as AsyncMethodCall


def readable(value: Any, owner: object) -> Any:
    """Give a stream as one that is read with `for`; anything else as it is."""
    if isinstance(value, AsyncTokenStream):
        return TokenStream(value, owner)
    if isinstance(value, AsyncMethodCall):  # of a model's own method: `generate(prompt=...)`, `call("generate", ...)`
        return MethodCall(value, owner)
    return value


__all__ = ["readable"]
