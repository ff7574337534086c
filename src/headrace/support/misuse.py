"""What a user types without `async` is answered by a sentence that says what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from headrace.errors import ConfigError


class AsyncIteration:
    """Of what can be read by `async for` only."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers say it themselves, as long as these are not here

        def __iter__(self) -> NoReturn:
            raise ConfigError(f"{type(self).__name__} is read by `async for`, not `for`")


class AsyncContext:
    """Of what can be entered by `async with` only."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise ConfigError(f"{type(self).__name__} is entered by `async with`, not `with`")

        def __exit__(self, *error: object) -> None:
            """Never reached."""


__all__ = ["AsyncContext", "AsyncIteration"]
