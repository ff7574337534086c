"""Lists of inputs through unary calls: split within the limits, sent, and put together again in order.

Of a mixed answer (10010) the good outputs are kept, and only those that failed in a way that passes are sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from headrace import codec
from headrace.calls import envelope
from headrace.calls.deadline import Deadline
from headrace.calls.envelope import Envelope, id_of
from headrace.calls.retry import RETRIED
from headrace.calls.session import Session
from headrace.calls.unary import unary
from headrace.config import Limits
from headrace.errors import HeadraceError, PredictionFailed, ServerError
from headrace.inputs import Input, split
from headrace.results import Output, Prediction
from headrace.status import Kind, fatal, kind_of
from headrace.transport.base import Buffer, Metadata

AT_ONCE = 8  # requests of one list that are under way together


async def predict_one(
    session: Session,
    head: bytes,
    item: Input,
    *,
    deadline: Deadline,
    warm_up: float | None = None,
    metadata: Metadata = (),
) -> Prediction:
    """Send one input, loaded and checked, with an id.

    Raises:
        HeadraceError: the input's error.
    """

    def judge(raw: bytes) -> Prediction:
        response = envelope.read(raw)
        refusal = response.failure or next((a for a in response.answers if isinstance(a, ServerError)), None)
        if refusal is not None:
            raise refusal
        return Prediction(raw, cast("Sequence[Output]", response.answers), status=response.head, input_id=item.id)

    try:
        return await unary(
            session,
            codec.PREDICT,
            [head, *item.encode()],
            judge,
            metadata=metadata,
            timeout=deadline,
            warm_up=warm_up,
            what=f"input {item.id}",
        )
    except ServerError as error:
        error.input_id = error.input_id or item.id
        raise


async def predict_many(
    session: Session,
    head: bytes,
    items: Mapping[int, Input],
    limits: Limits,
    *,
    deadline: Deadline,
    warm_up: float | None = None,
    metadata: Metadata = (),
) -> dict[int, Prediction]:
    """Send inputs in as few requests as the limits allow; one prediction each, failed ones with their error.

    Args:
        head: the request's template.
        items: position -> input, loaded and checked, each with an id.
        deadline: for everything; what has no answer by then fails with `DeadlineExceeded`.

    Raises:
        ServerError: the server refuses them all (credential, permission, quota, unknown model).
    """
    attempts = session.attempts(warm_up=warm_up, fresh=False)  # its requests are the calls
    found: dict[int, Prediction] = {}
    left = dict(items)
    while left:
        answers, exhausted = await _round(session, head, left, limits, deadline, warm_up, metadata)
        found.update(answers)
        again = {
            position: prediction.error
            for position, prediction in answers.items()
            if prediction.error is not None and position not in exhausted and kind_of(prediction.error) in RETRIED
        }
        if not again:
            break
        error = next(iter(again.values()))
        delay = attempts.after(error)
        if delay is None:
            break
        if kind_of(error) is Kind.WARMING and warm_up is None:
            deadline.extend(delay)  # waiting for a deploying model has a budget of its own
        if delay >= deadline.remaining:
            break
        session.counts.retries += 1
        await asyncio.sleep(delay)
        left = {position: items[position] for position in again}
    return found


async def _round(
    session: Session,
    head: bytes,
    items: Mapping[int, Input],
    limits: Limits,
    deadline: Deadline,
    warm_up: float | None,
    metadata: Metadata,
) -> tuple[dict[int, Prediction], set[int]]:
    """Send each input once; also tells those whose request failed as a whole, which was tried again already."""
    positions = list(items)
    encoded = [items[position].encode() for position in positions]
    room = limits.request_bytes - len(head)
    sizes = [codec.size_of(parts) for parts in encoded]
    groups = split([items[p] for p in positions], limits, sizes, room)
    found: dict[int, Prediction] = {}
    exhausted: set[int] = set()

    async def send(group: Sequence[int]) -> None:
        chosen = [positions[index] for index in group]
        parts: list[Buffer] = [head]
        for index in group:
            parts += encoded[index]
        inputs = [items[position] for position in chosen]
        what = f"input {inputs[0].id}" if len(inputs) == 1 else f"a request with {len(inputs)} inputs"
        try:
            response = await unary(
                session,
                codec.PREDICT,
                parts,
                lambda raw: _judge(raw, len(inputs)),
                metadata=metadata,
                timeout=deadline,
                warm_up=warm_up,
                what=what,
            )
        except HeadraceError as error:
            if len(inputs) == 1 and isinstance(error, ServerError):
                error.input_id = error.input_id or inputs[0].id
            for position, item in zip(chosen, inputs, strict=True):
                found[position] = Prediction.failed(error, input_id=item.id, position=position)
            exhausted.update(chosen)
        else:
            found.update(zip(chosen, _predictions(response, chosen, inputs), strict=True))

    if groups:
        await send(groups[0])  # the first goes alone: what it is refused for, the others would be too
    if len(groups) > 1:
        errors = [error for index in groups[0] if (error := found[positions[index]].error) is not None]
        if len(errors) == len(groups[0]) and fatal(errors[0]):
            raise errors[0]
        await _together(groups[1:], send)
    return found, exhausted


async def _together(groups: Sequence[Sequence[int]], send: Callable[[Sequence[int]], Awaitable[None]]) -> None:
    """Send groups, at most `AT_ONCE` at a time; a cancellation cancels them all."""
    left = iter(groups)

    async def worker() -> None:
        for group in left:
            await send(group)

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(AT_ONCE, len(groups)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _judge(raw: bytes, number: int) -> Envelope:
    response = envelope.read(raw)
    if response.failure is not None:
        raise response.failure
    if number > 1 and len(response.answers) != number:
        raise PredictionFailed(
            f"the server answered with {len(response.answers)} outputs to {number} inputs",
            request_id=response.head.req_id,
        )
    return response


def _predictions(response: Envelope, positions: Sequence[int], inputs: Sequence[Input]) -> list[Prediction]:
    """Give each input its answer: by id where all outputs carry known ones, else by order."""
    if len(inputs) == 1:
        outputs: list[Output] = []
        for answer in response.answers:
            if isinstance(answer, ServerError):
                answer.input_id = inputs[0].id
                return [Prediction.failed(answer, input_id=inputs[0].id, position=positions[0], raw=response.raw)]
            outputs.append(answer)
        return [Prediction(response.raw, outputs, status=response.head, input_id=inputs[0].id, position=positions[0])]
    by_id = {id_of(answer): answer for answer in response.answers}
    ids = [item.id for item in inputs]
    ordered = [by_id[id_] for id_ in ids] if set(by_id) == set(ids) and len(by_id) == len(ids) else response.answers
    found: list[Prediction] = []
    for position, item, answer in zip(positions, inputs, ordered, strict=True):
        if isinstance(answer, ServerError):
            answer.input_id = item.id
            found.append(Prediction.failed(answer, input_id=item.id, position=position, raw=response.raw))
        else:
            found.append(Prediction(response.raw, (answer,), status=response.head, input_id=item.id, position=position))
    return found


def join(predictions: Sequence[Prediction]) -> Prediction:
    """Put the good predictions of a list together as one."""
    if len(predictions) == 1:
        return predictions[0]
    raws = list({id(prediction.raw): prediction.raw for prediction in predictions}.values())
    outputs = [output for prediction in predictions for output in prediction._outputs]
    ids = [prediction.input_id for prediction in predictions]
    return Prediction(
        raws[0] if len(raws) == 1 else b"".join(raws), outputs, status=predictions[0]._status, input_ids=ids
    )
