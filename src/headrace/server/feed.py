"""The items of one bidirectional stream on their way into a model's own `stream` method."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from headrace.server.model import Answer, Item, ModelError
from headrace.server.slots import Watch
from headrace.server.threads import ToThread


class Feed:
    """A bounded queue of items that remembers which one the model took last.

    An answer belongs to the item taken last, unless it names another one (`Answer.input_id`): that is right for a
    model which answers each item before it takes the next.
    """

    def __init__(self, capacity: int, cancelled: threading.Event) -> None:
        self.capacity = capacity
        self.cancelled = cancelled
        self.watch: Watch = Watch()  # of the model's work: waiting for an item does not count
        self._items: asyncio.Queue[Item | None] = asyncio.Queue(capacity)
        self._last = ""
        self._awaits = False  # whether the item taken last has no answer yet

    @property
    def failed(self) -> str:
        """The id of the input that a failure of the model belongs to: the one taken last, if it was not answered."""
        return self._last if self._awaits else ""

    async def put(self, item: Item) -> None:
        """Add an item; waits while `capacity` items are untaken."""
        await self._items.put(item)

    async def end(self) -> None:
        """Tell the model that no item follows."""
        await self._items.put(None)

    async def on_loop(self) -> AsyncIterator[Item]:
        """Iterate over the items on the event loop."""
        while True:
            self.watch.pause()
            item = await self._items.get()
            self.watch.resume()
            if item is None:
                return
            self._last, self._awaits = item.id, True
            yield item

    async def pump(self, blocking: ToThread[Item]) -> None:
        """Carry the items over to a thread."""
        while (item := await self._items.get()) is not None:
            await blocking.put(item)
        blocking.end()

    def in_thread(self, blocking: Iterable[Item]) -> Iterator[Item]:
        """Iterate over the items in a thread, which waits for the next one."""
        items = iter(blocking)
        while True:
            self.watch.pause()
            item = next(items, None)
            self.watch.resume()
            if item is None or self.cancelled.is_set():
                return
            self._last, self._awaits = item.id, True
            yield item

    def tag(self, value: object, answer_of: Callable[[object], Answer]) -> tuple[str, Answer | ModelError]:
        """Return the input that an answer belongs to; a model may also return a ModelError for one item."""
        answer = value if isinstance(value, ModelError) else answer_of(value)
        return self.named(answer.input_id if isinstance(answer, Answer) else None), answer

    def named(self, named: str | None) -> str:
        """Return the id of the input that an answer belongs to, which may name it itself; it counts as answered."""
        input_id = self._last if named is None else named
        if input_id == self._last:
            self._awaits = False
        return input_id
