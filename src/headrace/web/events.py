"""A stream as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from headrace.web.messages import End, as_message, failure_message

T = TypeVar("T")

#: Converts one item to a value for JSON.
Encode: TypeAlias = Callable[[Any], Any]
HEARTBEAT = 15.0  # seconds: proxies close connections that are silent for 30 to 60


async def sse(
    stream: AsyncIterable[Any], *, encode: Encode | None = None, heartbeat: float | None = HEARTBEAT
) -> AsyncGenerator[str, None]:
    """Yield a stream's items as server-sent events, for a response of type `text/event-stream`.

    A piece is `data: {"text": ...}`, or the whole prediction if it holds something else. The last event is `done`
    with the tokens that it cost, or `error` with type, code and message. While nothing comes, a comment is sent as
    heartbeat. The next item is taken when the one before has been written. Closing the generator, as frameworks do when
    the browser leaves, ends the stream's call: the model stops.

    Args:
        stream: a `TokenStream`, a `PredictionStream`, or any async iterable.
        encode: makes the JSON value of an item; None: as above.
        heartbeat: seconds between comments; None: none.
    """
    encode = encode or as_message
    end = End()
    try:
        async with contextlib.aclosing(beating(stream, heartbeat)) as items:
            async for item in items:
                if item is BEAT:
                    yield ": \n\n"
                    continue
                end.count(item)
                yield event(encode(item))
    except Exception as error:
        yield event(failure_message(error), "error")
        return
    yield event(end.message, "done")


class _Beat:
    """A sentinel: nothing came."""


BEAT = _Beat()


async def beating(stream: AsyncIterable[T], heartbeat: float | None) -> AsyncGenerator[T | _Beat, None]:
    """Yield a stream's items, and `BEAT` whenever nothing came for so many seconds; closes the stream at its end."""
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(stream, "__aexit__"):
            await stack.enter_async_context(stream)  # type: ignore[arg-type]
        elif hasattr(stream, "aclose"):
            stack.push_async_callback(stream.aclose)
        items = aiter(stream)
        while True:
            following = asyncio.ensure_future(_next(items))
            try:
                while not (await asyncio.wait([following], timeout=heartbeat))[0]:
                    yield BEAT
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait([following])
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            yield item


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


def event(value: Mapping[str, Any] | str, name: str = "") -> str:
    """Write one event: JSON, or a text that is JSON already."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"{head}{lines}\n"
