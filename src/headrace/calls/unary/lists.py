"""Lists of inputs through unary calls: split within the limits, sent, and put together again in order.

The good outputs of a mixed response (10010) are kept; only inputs with a transient failure are sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from headrace import codec
from headrace.calls import responses
from headrace.calls.batching import is_splittable
from headrace.calls.deadline import Deadline
from headrace.calls.responses import Envelope, id_of
from headrace.calls.retry import RETRIED, Attempts
from headrace.calls.session import Session
from headrace.calls.unary.call import Encoded, unary
from headrace.config import Limits
from headrace.errors import HeadraceError, ServerError
from headrace.flow.rate import Budget
from headrace.inputs.checks import split
from headrace.inputs.prepared import Prepared
from headrace.results import Output, Prediction
from headrace.status import Kind, fatal, kind_of
from headrace.transport.base import Buffer, Metadata

MAX_IN_FLIGHT = 8  # requests of one list
TOGETHER = 0.1  # seconds that an input may wait longer, to be sent again with others

#: The inputs of one request.
_Group: TypeAlias = Sequence[Prepared]


#: Gets predictions that are final.
Deliver = Callable[[Sequence[Prediction]], None]


async def predict_many(
    session: Session,
    head: bytes,
    items: Sequence[Prepared],
    limits: Limits,
    *,
    deadline: Deadline,
    warm_up: float | None = None,
    metadata: Metadata = (),
    deliver: Deliver = lambda _: None,
    is_open: Callable[[int], bool] = lambda _: True,
    attempts_of: Callable[[int], Attempts] | None = None,
    packed: bool = False,
) -> dict[int, Prediction]:
    """Send inputs in as few requests as the limits allow; one prediction each, failed ones with their error.

    Args:
        head: the request's template.
        items: loaded and checked, each with an id, in the order of their positions.
        deadline: for everything; what has no answer by then fails with `DeadlineExceeded`.
        deliver: gets predictions as soon as they are final, others may still be tried again.
        is_open: says whether the input at a position is still worth trying again.
        attempts_of: starts the attempts of the input at a position, which are its own whatever happens to the others;
            None: as the session has them.
        packed: we grouped these unrelated inputs, which fit into one request: if it fails as a whole and one input may
            be to blame, bisect it.

    Returns:
        The predictions by position.

    Raises:
        ServerError: the server refuses them all (credential, permission, quota, unknown model).
    """
    work = _Round(session, head, limits, deadline, warm_up, metadata, deliver, packed)
    await work.run(items)
    if work.again:
        await _send_again(work, items, is_open, attempts_of)
    return work.results


async def _send_again(
    work: _Round,
    items: Sequence[Prepared],
    is_open: Callable[[int], bool],
    attempts_of: Callable[[int], Attempts] | None,
) -> None:
    """Send inputs again, each as often as its own failures allow; those with similar delays go together."""
    session, deadline, deliver = work.session, work.deadline, work.deliver
    budget = _SharedBudget(session.budget)
    attempts: dict[int, Attempts] = {}
    due: dict[int, float] = {}  # position -> when it is sent again
    while True:
        failed, work.again = work.again, {}
        budget.next_request()
        delays: dict[int, float] = {}
        warming = 0.0
        for position, error in failed.items():
            own = attempts.get(position)
            if own is None:
                own = attempts[position] = (
                    attempts_of(position) if attempts_of else session.attempts(warm_up=work.warm_up, fresh=False)
                )
                own.budget = budget
            delay = own.after(error)
            if delay is None:
                deliver([work.results[position]])
                continue
            delays[position] = delay
            if kind_of(error) is Kind.WARMING and work.warm_up is None:
                warming = max(warming, delay)
        deadline.extend(warming)  # waiting for a deploying model has a budget of its own
        now, remaining = time.monotonic(), deadline.remaining
        for position, delay in delays.items():
            if delay < remaining:
                due[position] = now + delay
            else:
                deliver([work.results[position]])
        if not due:
            return
        session.counts.retries += 1
        group = _next_due(due, now)
        await asyncio.sleep(max(due.pop(position) for position in group) - now)
        await work.run([item for item in items if item.position in group and is_open(item.position)])


def _next_due(due: Mapping[int, float], now: float) -> set[int]:
    """Choose the inputs to send next: those whose delay is close to that of the first."""
    until = now + 2 * (min(due.values()) - now) + TOGETHER
    return {position for position, when in due.items() if when <= until}


class _SharedBudget(Budget):
    """The retry budget of inputs that are sent again in one request: one token for all of them."""

    __slots__ = ("_budget", "_granted")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._granted: bool | None = None

    def next_request(self) -> None:
        """Ask the client's budget again, for the next request."""
        self._granted = None

    def spend(self) -> bool:
        """Take the token of the request; False when there is none."""
        if self._granted is None:
            self._granted = self._budget.spend()
        return self._granted


@dataclass(slots=True, eq=False, repr=False)
class _Round:
    """Sends each of some inputs once; keeps what came of it."""

    session: Session
    head: bytes
    limits: Limits
    deadline: Deadline
    warm_up: float | None
    metadata: Metadata
    deliver: Deliver
    packed: bool
    results: dict[int, Prediction] = field(default_factory=dict)
    again: dict[int, HeadraceError] = field(default_factory=dict)  # position -> why to send it again
    encoded: dict[int, list[Buffer]] = field(default_factory=dict)  # of those that had to be measured

    async def run(self, items: Sequence[Prepared]) -> None:
        """Send inputs in requests within the limits."""
        if not items:
            return
        if self.packed:
            await self._send(items)
            return
        self.encoded = {item.position: item.encode() for item in items}
        room = self.limits.request_bytes - len(self.head)
        groups = split(items, self.limits, map(codec.size_of, self.encoded.values()), room)
        ready = [[items[index] for index in group] for group in groups]
        if ready:
            await self._send(ready[0])  # the first goes alone: a refusal of the whole call would hit the others too
        if len(ready) > 1:
            errors = [error for item in ready[0] if (error := self.results[item.position].error) is not None]
            if len(errors) == len(ready[0]) and fatal(errors[0]):
                raise errors[0]
            await _together(ready[1:], self._send)

    async def _send(self, group: _Group) -> None:
        number = len(group)
        whole = group[0].whole(self.head) if number == 1 else None
        parts: list[Buffer] = [self.head] if whole is None else [whole]
        if whole is None:
            encoded = self.encoded
            for item in group:
                parts += encoded[item.position] if encoded else item.encode()
        try:
            response = await unary(
                self.session,
                codec.PREDICT,
                Encoded(parts, lambda raw: _parse(raw, number)),
                metadata=self.metadata,
                timeout=self.deadline,
                warm_up=self.warm_up,
                label="" if number == 1 else f"a request with {number} inputs",
                input_id=group[0].id if number == 1 else "",
            )
        except HeadraceError as error:
            await self._refused(group, error)
            return
        results, final = self.results, []
        for item, prediction in zip(group, _predictions(response, group, packed=self.packed), strict=True):
            if source := item.source:
                prediction.source = source
            results[item.position] = prediction
            failure = prediction.error
            if failure is not None and kind_of(failure) in RETRIED:
                self.again[item.position] = failure
            else:
                final.append(prediction)
        self.deliver(final)

    async def _refused(self, group: _Group, error: HeadraceError) -> None:
        """Handle a request that failed as a whole, after its retries."""
        if self.packed and len(group) > 1 and is_splittable(error):
            half = len(group) // 2
            await _together([group[:half], group[half:]], self._send)
            return
        for item in group:
            failed = Prediction.failed(error, input_id=item.id, position=item.position)
            failed.source = item.source
            self.results[item.position] = failed
        self.deliver([self.results[item.position] for item in group])


async def _together(groups: Sequence[_Group], send: Callable[[_Group], Awaitable[None]]) -> None:
    """Send groups, at most `MAX_IN_FLIGHT` at a time; a cancellation cancels them all."""
    waiting = iter(groups)

    async def worker() -> None:
        for group in waiting:
            await send(group)

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(MAX_IN_FLIGHT, len(groups)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _parse(raw: bytes, number: int) -> Envelope:
    response = responses.read(raw, number)
    if response.failure is not None:
        raise response.failure
    if number > 1 and len(response.answers) != number:
        raise responses.miscounted(len(response.answers), number, response.head.req_id)
    return response


def _predictions(response: Envelope, group: _Group, *, packed: bool) -> list[Prediction]:
    """Match each input with its answer: by id if all outputs carry known ones, else by order.

    Predictions of a list keep the list's response; those of unrelated inputs (`packed`) get their own.
    """
    raw, head, answers = response.raw, response.head, response.answers
    if len(group) == 1:
        (item,) = group
        for answer in answers:
            if isinstance(answer, ServerError):
                return [_failed(answer, item, raw)]
        outputs = cast("Sequence[Output]", answers)
        return [Prediction(raw, outputs, head, item.id, item.position)]
    if id_of(answers[0]):
        by_id = {id_of(answer): answer for answer in answers}
        if len(by_id) == len(group) and all(item.id in by_id for item in group):
            answers = [by_id[item.id] for item in group]
    shared = None if packed else raw
    return [
        _failed(answer, item, raw)
        if isinstance(answer, ServerError)
        else Prediction(shared, (answer,), head, item.id, item.position)
        for item, answer in zip(group, answers, strict=True)
    ]


def _failed(error: ServerError, item: Prepared, raw: bytes) -> Prediction:
    error.input_id = item.id
    return Prediction.failed(error, input_id=item.id, position=item.position, raw=raw)


def join(predictions: Sequence[Prediction]) -> Prediction:
    """Combine the good predictions of a list into one, with the status of a fully successful request."""
    if len(predictions) == 1:
        return predictions[0]
    raws = list({id(prediction.raw): prediction.raw for prediction in predictions}.values())
    outputs = [output for prediction in predictions for output in prediction._outputs]
    ids = [prediction.input_id for prediction in predictions]
    heads = [prediction._status for prediction in predictions]
    status = next((head for head in heads if head is not None and head.code == responses.SUCCESS), heads[0])
    return Prediction(raws[0] if len(raws) == 1 else b"".join(raws), outputs, status=status, input_ids=ids)
