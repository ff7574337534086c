"""What a recorded stream says, step by step, and which step may come now. Pure: no I/O, no clock.

The order of the recording holds: an answer is not given before all inputs that were sent before it have come again, in
whatever requests they travel now. Three kinds of server need three ways:

- one whose answers name their inputs: each answer waits for what was sent before it. Where the client can send no more
  without an answer (`blocked`), for its packing or its window is another one now, an answer needs its own input only.
- one whose answers come in order, a response for each request: as above; where inputs travel in other requests now,
  responses are put together anew, one for each request.
- any other: each response waits for what was sent before it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from headrace.testing.tape.calls import Event, RecordedCall, RecordedInput, Request, spans
from headrace.testing.tape.ids import Renaming
from headrace.testing.tape.shelf import Asked, answer_bytes, joined_status, shares
from headrace.v2 import service_pb2 as rpc


class Answering(enum.Enum):
    """How the answers of a stream belong to its inputs."""

    BY_ID = "by id"
    BY_ORDER = "by order"
    FREELY = "freely"


@dataclass(slots=True)
class Step:
    """An answer on the tape, or the end.

    Attributes:
        sent: how many inputs were sent before it.
        closed: whether it came after the last message of the client was announced.
        inputs: the inputs that it answers, by their place in the call, each with its outputs; empty: not known.
        seconds: how long after what happened before it.
        given: the inputs of it that were answered already.
    """

    event: Event
    answer: Message | bytes | None
    sent: int
    closed: bool
    inputs: dict[int, list[int]]
    seconds: float
    given: set[int] = field(default_factory=set)

    @property
    def open(self) -> list[int]:
        """Its inputs that were not answered yet."""
        return [place for place in self.inputs if place not in self.given]


class Script:
    """One recorded stream while it is replayed.

    Attributes:
        inputs: all that was sent, in order.
        come: the place of an input -> its request now, counted from 0.
        renaming: the ids of now.
    """

    def __init__(self, call: RecordedCall) -> None:
        self.call = call
        self.requests: list[Request] = call.requests
        self.inputs: list[RecordedInput] = call.inputs
        self.come: dict[int, int] = {}
        self.closed = False
        self.renaming: Renaming = Renaming()
        self.answering: Answering = _answering(call)
        self._bare = sum(not request.inputs for request in self.requests)  # requests without inputs that wait
        self._sizes: list[int] = []  # inputs of each request now
        self.end: Step  # the last one, apart from the others
        self._steps, self.end = _steps(call, self.answering)
        self._next_request = 0  # to be answered, where answers come in order

    @property
    def packed(self) -> bool:
        """Whether requests have several inputs, now or when it was recorded."""
        return any(size > 1 for size in self._sizes) or any(len(request.inputs) > 1 for request in self.requests)

    @property
    def missing(self) -> list[RecordedInput]:
        """Inputs that were recorded and have not come."""
        return [item for place, item in enumerate(self.inputs) if place not in self.come]

    @property
    def under_way(self) -> int:
        """How many requests of now have an input that awaits its answer."""
        return len({self.come[place] for step in self._steps for place in step.open if place in self.come})

    def take(self, asked: Asked, *, surplus: bool = False) -> RecordedInput | None:
        """Take in a request; give its first input that was not recorded, or None where all were.

        Args:
            surplus: take in those that were recorded, and leave the others out.
        """
        if not asked.request.inputs:
            self._bare -= 1
            return None
        places: list[int | None] = []
        for item in asked.request.inputs:
            place = next(
                (
                    place
                    for place, recorded in enumerate(self.inputs)
                    if place not in self.come and place not in places and recorded.content == item.content
                ),
                None,
            )
            if place is None and not surplus:
                return item
            places.append(place)
        number = len(self._sizes)
        self._sizes.append(len(places))
        for place, actual in zip(places, asked.ids, strict=True):
            if place is not None:
                self.come[place] = number
                self.renaming.add(self.inputs[place].id, actual)
        return None

    def next(self, *, blocked: bool) -> Step | None:
        """Give the step that may come now: an answer, or the end.

        Args:
            blocked: the client sends nothing more before it gets something.
        """
        first = next((step for step in self._steps if step.open or not step.given), None)
        if first is None:
            return self.end if self._due(self.end) or (blocked and isinstance(self.end.event.value, dict)) else None
        if self.answering is Answering.BY_ORDER and not self._same_requests:
            return self._next_in_order(blocked)
        if self._due(first):
            return first
        if blocked and self.answering is not Answering.FREELY:
            for step in self._steps:
                if step.open and any(place in self.come for place in step.open):
                    return step
            if isinstance(self.end.event.value, dict):
                return self.end
        return None

    def give(self, step: Step) -> bytes:
        """Give the answer of a step, as far as its inputs have come."""
        assert step.answer is not None
        if self.answering is Answering.BY_ORDER and not self._same_requests:
            return self._composed()
        open_places = step.open
        come = [place for place in open_places if place in self.come]
        if len(come) == len(open_places) and not step.given:
            step.given = {*step.inputs, -1}
            return answer_bytes(step.answer, self.renaming)
        place = come[0]
        step.given.add(place)
        part = rpc.MultiOutputResponse.FromString(answer_bytes(step.answer, self.renaming))
        outputs = [part.outputs[index] for index in step.inputs[place]]
        del part.outputs[:]
        part.outputs.extend(outputs)
        return part.SerializeToString()

    @property
    def _same_requests(self) -> bool:
        """Whether what came so far travels in the requests of the recording, in the same order in each."""
        return (
            all(
                place in self.come and self.come[place] == item.request
                for place, item in enumerate(self.inputs)
                if item.request < len(self._sizes)
            )
            and all(size == len(request.inputs) for size, request in zip(self._sizes, self.requests, strict=False))
            and all(place == index for index, place in enumerate(self.come))
        )

    def _due(self, step: Step) -> bool:
        """Whether all that was sent before it has come."""
        if step.closed and not self.closed:
            return False
        return self._bare <= 0 and all(place in self.come for place in range(step.sent))

    # -- a response for each request, which has other inputs now

    def _places(self, request: int) -> list[int]:
        return [place for place, number in self.come.items() if number == request]

    def _step_of(self, place: int) -> Step | None:
        return next((step for step in self._steps if place in step.inputs and place not in step.given), None)

    def _next_in_order(self, blocked: bool) -> Step | None:
        while self._next_request < len(self._sizes):
            steps = [self._step_of(place) for place in self._places(self._next_request)]
            known = [step for step in steps if step is not None]
            if not known:
                self._next_request += 1  # answered as a whole, with what it shared a request with
                continue
            if blocked or all(self._due(step) for step in known):
                return known[0]
            return None
        return None

    def _composed(self) -> bytes:
        places = self._places(self._next_request)
        self._next_request += 1
        response, heads = rpc.MultiOutputResponse(), []
        for place in places:
            step = self._step_of(place)
            if step is None:
                continue
            assert step.answer is not None
            part = rpc.MultiOutputResponse.FromString(answer_bytes(step.answer, self.renaming))
            if not step.inputs[place]:  # a failure of the whole request: that of this one
                step.given |= set(step.inputs)
                return part.SerializeToString()
            step.given.add(place)
            heads.append(part.status)
            response.outputs.extend(part.outputs[index] for index in step.inputs[place])
        response.status.CopyFrom(joined_status(heads, response))
        return response.SerializeToString()


def _answering(call: RecordedCall) -> Answering:
    """Find out how the answers of a call belong to its inputs."""
    answers, requests = call.answers, call.requests
    ids = {item.id for item in call.inputs if item.id}
    named = [_ids(answer) for answer in answers]
    if any(name in ids for names in named for name in names):
        return Answering.BY_ID
    if len(answers) > len(requests) or not ids:
        return Answering.FREELY
    for answer, request in zip(answers, requests, strict=False):
        failed = isinstance(answer, rpc.MultiOutputResponse) and not answer.outputs
        if not failed and shares(answer, request.inputs) is None and len(request.inputs) != 1:
            return Answering.FREELY
    return Answering.BY_ORDER


def _ids(answer: Message | bytes) -> list[str]:
    return [output.input.id for output in answer.outputs] if isinstance(answer, rpc.MultiOutputResponse) else []


def _steps(call: RecordedCall, answering: Answering) -> tuple[list[Step], Step]:
    """Make the steps of a call, and its end."""
    steps: list[Step] = []
    sent: list[RecordedInput] = []
    requests, closed, answered = 0, call.shape != "duplex", set[int]()
    end = Step(call.end, None, len(call.inputs), False, {}, 0.0)
    for event, seconds in zip(call.events, spans(call.events), strict=True):
        if event.kind == "send":
            sent += call.requests[requests].inputs
            requests += 1
        elif event.kind == "half_close":
            closed = True
        elif event.kind == "receive":
            answer = call.answers[len(steps)]
            inputs = _inputs_of(answer, answering, sent, answered, call.requests[len(steps) : len(steps) + 1])
            answered |= set(inputs)
            steps.append(Step(event, answer, len(sent), closed, inputs, seconds))
        else:
            end = Step(event, None, len(sent), closed, {}, seconds)
    return steps, end


def _inputs_of(
    answer: Message | bytes,
    answering: Answering,
    sent: Sequence[RecordedInput],
    answered: set[int],
    request: Sequence[Request],
) -> dict[int, list[int]]:
    """Return which inputs an answer is for: place in the call -> outputs."""
    inputs: dict[int, list[int]] = {}
    if answering is Answering.BY_ID:
        for index, name in enumerate(_ids(answer)):
            place = next((p for p, item in enumerate(sent) if item.id == name and p not in answered), None)
            if place is not None:
                inputs.setdefault(place, []).append(index)
    elif answering is Answering.BY_ORDER and request:
        places = (
            [p for p, item in enumerate(sent) if item.request == request[0].inputs[0].request]
            if request[0].inputs
            else []
        )
        outputs = shares(answer, request[0].inputs)
        if outputs is None:
            count = len(answer.outputs) if isinstance(answer, rpc.MultiOutputResponse) else 0
            outputs = [list(range(count))] * len(places)
        inputs = dict(zip(places, outputs, strict=False))
    return inputs
