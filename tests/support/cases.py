"""Many cases in one test, which wait together and are named where they fail; and what depends on time, tried thrice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from headrace import HeadraceError


async def run_together(cases: Mapping[Any, Coroutine[Any, Any, object]]) -> None:
    """Run cases that share nothing at the same time.

    Raises:
        ExceptionGroup: what failed, each with a note that names its case.
    """
    results = await asyncio.gather(*cases.values(), return_exceptions=True)
    failures = []
    for name, result in zip(cases, results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"case: {name}")
            failures.append(result)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases failed", failures)


async def best_of_three(run: Callable[[], Awaitable[object]]) -> None:
    """Run what a busy machine makes fail, since it needs an answer in time: once of three times it has to hold."""
    for last in (False, False, True):
        try:
            await run()
        except (AssertionError, HeadraceError):
            if last:
                raise
        else:
            return
