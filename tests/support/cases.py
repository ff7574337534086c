"""Many cases in one test: those that wait do it together, and each that fails is named."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any


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
