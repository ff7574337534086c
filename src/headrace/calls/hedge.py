"""Hedging: a slow unary call gets a second attempt beside the first; the first success wins, the other is cancelled.

Source: Dean and Barroso, "The Tail at Scale", 2013.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from headrace import events
from headrace.calls.session import Session

T = TypeVar("T")


async def hedged(attempt: Callable[[], Awaitable[T]], after: float, session: Session) -> T:
    """Run `attempt`, and once more when it takes longer than `after` seconds and the retry budget allows it.

    Raises:
        HeadraceError: the last of the failures, when all attempts failed.
    """
    tasks = {asyncio.ensure_future(attempt())}
    try:
        done, _ = await asyncio.wait(tasks, timeout=after)
        if not done and session.budget.spend():
            session.emit(events.Hedged(after))
            tasks.add(asyncio.ensure_future(attempt()))
        pending = set(tasks)
        while True:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in done if not task.cancelled() and task.exception() is None), None)
            if winner is not None:
                return winner.result()
            if not pending:
                return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # retrieved: nobody needs the failure of the loser
