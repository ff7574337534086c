"""`async with` and `async for`: closing at the end, and a clear error if `async` is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType


class AsyncIteration:
    """Base of classes that are read by `async for` only."""

    __slots__ = ()

    if not TYPE_CHECKING:  # hidden from type checkers, which then report the mistake themselves

        def __iter__(self) -> NoReturn:
            raise ConfigError(f"{type(self).__name__} is read by `async for`, not `for`")


class AsyncContext:
    """Base of classes that only `async with` enters and closes."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Close it; idempotent."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise ConfigError(f"{type(self).__name__} is entered by `async with`, not `with`")

        def __exit__(self, *error: object) -> None:
            """Never reached."""


__all__ = ["AsyncContext", "AsyncIteration"]
