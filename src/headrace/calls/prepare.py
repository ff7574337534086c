"""Preparing inputs: from whatever stands for one to what can be sent, immediately if that takes no I/O.

Any failure of one input becomes that input's own error; only a failure of the
whole call (a refused credential, an unknown model) is raised as it is.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace import media
from headrace.calls.deadline import Deadline, within
from headrace.config import Limits
from headrace.errors import (
    ConfigError,
    DeadlineExceeded,
    HeadraceError,
    InputError,
    PartialFailure,
    ServerError,
)
from headrace.inputs import Input, InputType, is_url, name_of, shortened
from headrace.inputs.checks import is_ready, longest_text, prepare_now
from headrace.inputs.prepared import Prepared, PreparedText
from headrace.reference import ModelRef
from headrace.results import Prediction
from headrace.sources.items import OWN_ERRORS
from headrace.support.ids import before

if TYPE_CHECKING:
    from headrace.calls.options import ResolvedOptions


class LookUps(Protocol):
    """The questions that the server answers: the catalog."""

    async def input_types(self, ref: ModelRef) -> tuple[InputType, ...]:
        """Look up the types that a model takes."""

    async def template(self, ref: ModelRef, options: ResolvedOptions, deadline: Deadline) -> bytes:
        """Encode the part of a request that goes before its inputs."""


class Preparer:
    """Prepares the inputs of one call.

    Args:
        make: makes an input from an item; None: of anything that stands for one.
        input_type: of those that don't know theirs; None: looked up.
        timeout: seconds that preparing one of many may take; None: no limit.
        ids: gives those without id theirs.
    """

    def __init__(
        self,
        make: Callable[[Any], Input] | None,
        input_type: str | None,
        timeout: float | None,
        *,
        ids: Iterator[str],
        limits: Limits,
        catalog: LookUps,
        ref: ModelRef,
        options: ResolvedOptions,
    ) -> None:
        self._make = make
        # Longer ones, and all of a call that makes something else of a str, take the long way.
        self._longest_text = longest_text(limits) if make is None and input_type in (None, "text") else 0
        self._input_type = input_type
        self._timeout = timeout
        self._ids = ids
        self._limits = limits
        self._catalog = catalog
        self._ref = ref
        self._options = options
        self._untyped: HeadraceError | None = None  # why the type is not known: it is looked up once
        self._looking_up = asyncio.Lock()

    async def template(self, deadline: Deadline | None = None) -> bytes:
        """Return the part of the request that goes before the inputs.

        Raises:
            DeadlineExceeded: what is looked up for it took too long.
        """
        return await self._catalog.template(self._ref, self._options, deadline or Deadline.after(self._timeout))

    def __call__(self, raw: object, deadline: Deadline | None = None) -> Prepared | Coroutine[Any, Any, Prepared]:
        """Prepare one of many: now if that is possible, else later, if it has to be looked up, read or encoded.

        Args:
            raw: what stands for the input.
            deadline: None: the time that one input may take.

        Raises (and awaiting it):
            InputError, SourceError, DeadlineExceeded: it cannot be sent.
        """
        if type(raw) is str and raw.isascii() and 0 < len(raw) <= self._longest_text:
            return PreparedText(raw, next(self._ids))
        item: Input | None = None
        try:
            item = self._make(raw) if self._make is not None else Input.of(raw, self._input_type)
            ready = prepare_now(item, self._ids, self._limits)
        except Exception as error:
            own = _own_error_of(error, raw, item)
            if own is error:
                raise
            raise own from error
        return ready or self.one_of_many(item, deadline)

    async def later(self, item: Input, deadline: Deadline) -> Prepared:
        """Give an input its type and id, read its files, encode its pictures, check it.

        Raises:
            InputError, SourceError: it cannot be sent.
            DeadlineExceeded: that took too long.
            ConfigError: its type cannot be detected, or something is not installed.
            HeadraceError: a look-up failed, which fails the whole call.
        """
        if not item.typed:
            item = item.with_type(await self._type(item, deadline))
        if not item.id:
            item = item.with_id(next(self._ids))
        head = b"" if is_ready(item) else await self.template(deadline)
        try:
            if (ready := prepare_now(item, self._ids, self._limits)) is not None:
                return ready
            async with within(deadline, f"{name_of(item)}: reading it"):
                from headrace.inputs.loading import prepare  # threads, files and pictures

                return await prepare(item, self._limits, head)
        except HeadraceError as error:
            _sourced(error, item)
            raise
        except Exception as error:
            raise _sourced(own_error(error, item.id), item) from error

    async def one_of_many(self, item: Input, deadline: Deadline | None = None) -> Prepared:
        """As `later`, but a wrong type or a failed encoding is the input's own error.

        Args:
            deadline: None: the time that one input may take.
        """
        try:
            return await self.later(item, deadline or Deadline.after(self._timeout))
        except ConfigError as error:
            raise _sourced(own_error(error, item.id), item) from error

    async def _type(self, item: Input, deadline: Deadline) -> str:
        if self._input_type:
            return self._input_type
        types = await self._types(deadline)
        if len(types) == 1:
            return types[0]
        async with within(deadline, f"{name_of(item)}: reading its first bytes"):
            from headrace.inputs.kinds import type_for

            return await type_for(item, types, str(self._ref))

    async def _types(self, deadline: Deadline) -> tuple[InputType, ...]:
        if self._untyped is None:
            try:
                async with within(deadline, "looking up what the model takes"), self._looking_up:
                    if self._untyped is None:
                        return await self._catalog.input_types(self._ref)
            except (ConfigError, DeadlineExceeded) as error:
                self._untyped = error
        assert self._untyped is not None
        raise copy.copy(self._untyped)  # each of them is one input's own


#: Sends prepared inputs; gives their predictions by position.
Send = Callable[[Sequence[Prepared]], Awaitable[Mapping[int, Prediction]]]

PATIENCE_SECONDS = 1.0  # that the inputs of a list wait for those that are still read


async def predict_prepared(
    items: Mapping[int, Any], preparer: Preparer, send: Send, deadline: Deadline
) -> dict[int, Prediction]:
    """Prepare the inputs of a list and send them together; a slow one delays the others only briefly.

    Returns:
        A prediction for each position; inputs that failed or could not be sent have their error.

    Raises:
        HeadraceError: the whole call failed.
    """
    predictions: dict[int, Prediction] = {}
    ready: list[Prepared] = []
    slow: dict[int, asyncio.Task[Prepared]] = {}
    late: list[asyncio.Task[Mapping[int, Prediction]]] = []
    try:
        for position, raw in items.items():
            try:
                prepared = preparer(raw, deadline)
                if isinstance(prepared, Prepared):
                    prepared.position = position
                    ready.append(prepared)
                else:
                    slow[position] = asyncio.ensure_future(prepared)
            except OWN_ERRORS as error:
                predictions[position] = _failed(error, raw, position)
        if slow:
            await asyncio.wait(slow.values(), timeout=min(PATIENCE_SECONDS, deadline.remaining / 2))
            for position, task in slow.items():
                if not task.done():
                    late.append(asyncio.ensure_future(_send_late(position, task, items[position], send)))
                    continue
                try:
                    prepared = task.result()
                except OWN_ERRORS as error:
                    predictions[position] = _failed(error, items[position], position)
                else:
                    prepared.position = position
                    ready.append(prepared)
        if ready:
            predictions |= await send(sorted(ready, key=lambda item: item.position))
        for sent in late:
            predictions |= await sent
        return predictions
    finally:
        tasks = [*slow.values(), *late]
        for unfinished in tasks:
            unfinished.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _send_late(position: int, task: asyncio.Task[Prepared], raw: object, send: Send) -> Mapping[int, Prediction]:
    try:
        item = await task
    except OWN_ERRORS as error:
        return {position: _failed(error, raw, position)}
    item.position = position
    return await send([item])


def joined(predictions: dict[int, Prediction]) -> Prediction:
    """Combine the predictions of a list into one.

    Raises:
        PartialFailure: some failed; it holds the others.
        HeadraceError: all failed: the first one's error.
    """
    from headrace.calls.unary.lists import join

    errors = {position: p.error for position, p in sorted(predictions.items()) if p.error is not None}
    if not errors:
        return join([predictions[position] for position in sorted(predictions)])
    if len(errors) < len(predictions):
        raise PartialFailure({p: predictions[p] for p in sorted(predictions) if p not in errors}, errors)
    raise _first(errors, predictions)


def _first(errors: dict[int, HeadraceError], predictions: dict[int, Prediction]) -> HeadraceError:
    """Pop the first error: raised from a local variable, its traceback would keep itself and the inputs alive."""
    error = next(iter(errors.values()))
    errors.clear()
    predictions.clear()
    return error


def _failed(error: HeadraceError, raw: object, position: int) -> Prediction:
    id = getattr(error, "input_id", None) or (raw.id if isinstance(raw, Input) else "")
    failed = Prediction.failed(error, input_id=id, position=position)
    failed.source = error.source if isinstance(error, InputError) else ""
    return failed


def input_of(raw: object, input_type: str | None) -> Input:
    """Make the input of a call with one input.

    Raises:
        ConfigError: its type cannot be sent.
        InputError: it cannot be encoded, or raised an exception.
    """
    try:
        return Input.of(raw, input_type)
    except HeadraceError:
        raise
    except Exception as error:
        raise own_error(error, "") from error


def advised(error: ServerError, sent: object) -> ServerError:
    """Add advice to a refusal if a text was sent that looks like the name of something else."""
    advice = ""
    if isinstance(sent, str) and is_url(sent):
        advice = "a URL? predict_by_url"
    elif isinstance(sent, str) and len(sent) < 1024 and media.kind_of_name(sent) and not sent.endswith("."):
        advice = "a file? predict_by_filepath"
    if advice:
        error.args = (f"{error.args[0]} (the text was sent as it is; {advice})", *error.args[1:])
    return error


def _sourced(error: HeadraceError, item: Input) -> HeadraceError:
    """Note in an input's own error what the input came from."""
    if isinstance(error, InputError):
        error.source = error.source or item.source
    return error


def _own_error_of(error: Exception, raw: object, item: Input | None) -> HeadraceError:
    """Return the error of an input that was refused, or could not be made from `raw` (`item` is None then)."""
    if item is None:
        if isinstance(error, OWN_ERRORS):
            return error
        return own_error(error, raw.id if isinstance(raw, Input) else "")
    return _sourced(error if isinstance(error, HeadraceError) else own_error(error, item.id), item)


def own_error(error: Exception, id: str) -> InputError:
    """Make the input's own error from any exception."""
    text = str(error) if isinstance(error, HeadraceError | TypeError) else f"{type(error).__name__}: {error}"
    return InputError(f"{before(id)}{shortened(text, 500)}", input_id=id or None)


__all__ = ["Preparer", "advised", "input_of", "joined", "own_error", "predict_prepared"]
