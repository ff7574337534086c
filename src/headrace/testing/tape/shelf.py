"""The calls of a tape that wait to be replayed, found by what they send.

Order does not matter, for concurrent calls come in any. Calls that send the same are replayed in the order in which
they were recorded.

How inputs share requests depends on time (`map`, `coalesce`), so a request whose like was not recorded is answered
input by input, each with what the server said to it in whatever company.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from headrace.codec import PREDICT
from headrace.status import MIXED_STATUS, SUCCESS
from headrace.testing.tape import difference
from headrace.testing.tape.calls import LEFT, OK, Event, RecordedCall, RecordedInput, Request, Shape, request_of
from headrace.testing.tape.errors import TapeMismatch
from headrace.testing.tape.file import Contents
from headrace.testing.tape.ids import Numbering, Renaming
from headrace.testing.tape.messages import PREDICTIONS, read, short
from headrace.testing.tape.recorder import plain_message
from headrace.testing.tape.redaction import Redaction
from headrace.v2 import service_pb2 as rpc


@dataclass(frozen=True, slots=True)
class Asked:
    """A message of the run that replays, as it would stand on a tape.

    Attributes:
        ids: those of its inputs, as they are.
    """

    request: Request
    ids: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What becomes of a unary call: an answer, an error ("end" of the tape), or nothing while the client waits.

    Attributes:
        seconds: how long it took when it was recorded.
    """

    end: Any
    answer: bytes = b""
    seconds: float = 0.0
    renaming: Renaming = field(default_factory=Renaming)


class Shelf:
    """The recorded calls, and what of them was replayed.

    Args:
        path: the tape's, for messages.
        redaction: makes what is asked comparable to what was recorded.
    """

    def __init__(self, path: str, contents: Contents, redaction: Redaction) -> None:
        self.path = path
        self.calls: list[RecordedCall] = contents.calls
        self._redaction = redaction
        self._taken: set[int] = set()  # numbers of the calls that are replayed, or were
        self._answered: dict[int, set[int]] = {}  # number of a unary call -> its inputs that were answered singly
        self._lock = threading.Lock()

    @property
    def unused(self) -> list[RecordedCall]:
        """The calls of which nothing was replayed."""
        return [call for call in self.calls if not call.played]

    def ask(self, method: str, metadata: Sequence[tuple[str, str]], raw: bytes) -> Asked:
        """Make a message comparable to what was recorded."""
        self._redaction.metadata(metadata)
        message = read(method, raw, request=True)
        if message is not None:
            self._redaction.learn(message)
        plain = plain_message(self._redaction, method, raw, Numbering(), short, request=True)
        inputs = message.inputs if isinstance(message, rpc.PostModelOutputsRequest) else ()
        return Asked(request_of(method, plain), tuple(item.id for item in inputs))

    def metadata(self, metadata: Sequence[tuple[str, str]]) -> list[list[str]]:
        """Make metadata comparable to what was recorded."""
        return [[name, self._redaction.text(value)] for name, value in self._redaction.metadata(metadata)]

    # -- calls as a whole

    def waiting(self, method: str, shape: Shape, metadata: list[list[str]]) -> list[RecordedCall]:
        """Give the calls of a method that can be replayed as a whole."""
        return [
            call
            for call in self.calls
            if call.method == method
            and call.shape == shape
            and call.metadata == metadata
            and call.number not in self._taken
            and call.number not in self._answered
        ]

    def take(self, call: RecordedCall) -> None:
        """Replay this call: it waits no more."""
        self._taken.add(call.number)
        call.played = True

    def put_back(self, call: RecordedCall) -> None:
        """Let a call wait again, for it was not the one."""
        self._taken.discard(call.number)
        call.played = False

    def find(self, method: str, shape: Shape, metadata: list[list[str]], asked: Asked) -> RecordedCall | None:
        """Take the first call that sends just this."""
        with self._lock:
            for call in self.waiting(method, shape, metadata):
                if call.requests and call.requests[0].content == asked.request.content:
                    self.take(call)
                    return call
        return None

    def mismatch(self, method: str, shape: Shape, metadata: list[list[str]], asked: Asked) -> TapeMismatch:
        """Make the error of a call that was not recorded."""
        name = method.removeprefix("/clarifai.api.V2/")
        return difference.not_recorded(self.path, self.calls, method, name, shape, metadata, asked.request.message)

    # -- unary calls

    def unary(self, method: str, metadata: Sequence[tuple[str, str]], raw: bytes) -> Outcome:
        """Find what becomes of a unary call.

        Raises:
            TapeMismatch: it was not recorded.
        """
        asked, compared = self.ask(method, metadata, raw), self.metadata(metadata)
        call = self.find(method, "unary", compared, asked)
        if call is not None:
            return outcome_of(call, asked)
        if method == PREDICT and asked.request.inputs:
            with self._lock:
                outcome = self._by_input(compared, asked)
            if outcome is not None:
                return outcome
        raise self.mismatch(method, "unary", compared, asked)

    def _by_input(self, metadata: list[list[str]], asked: Asked) -> Outcome | None:
        """Answer a request input by input; None where one of them was not recorded."""
        chosen: list[tuple[RecordedCall, int]] = []
        skipped: list[tuple[RecordedCall, int]] = []
        for item in asked.request.inputs:
            places = self._places(asked.request.head, item, metadata, {*_keys(chosen), *_keys(skipped)})
            alone = [place for place in places if _share(*place) is not None]
            first = places[0] if places else None
            if first is None:
                return None
            if _share(*first) is None:  # the whole request failed: as one of several it may have been innocent
                if len(asked.request.inputs) > 1 or len(first[0].inputs) == 1 or not alone:
                    return self._whole(first[0], asked)
                skipped.append(first)
                first = alone[0]
            chosen.append(first)
        for call, index in chosen + skipped:
            self._answered.setdefault(call.number, set()).add(index)
            call.played = True
        return _composed(chosen, asked)

    def _places(
        self, head: str, item: RecordedInput, metadata: list[list[str]], besides: set[tuple[int, int]]
    ) -> list[tuple[RecordedCall, int]]:
        """Give where an input with this content waits for its answer, in recorded order."""
        return [
            (call, index)
            for call in self.calls
            if call.shape == "unary"
            and call.method == PREDICT
            and call.metadata == metadata
            and call.number not in self._taken
            and call.requests[0].head == head
            for index, recorded in enumerate(call.inputs)
            if recorded.content == item.content
            and index not in self._answered.get(call.number, ())
            and (call.number, index) not in besides
        ]

    def _whole(self, call: RecordedCall, asked: Asked) -> Outcome:
        """Let a request end as a recorded one with some of its inputs did, which failed as a whole."""
        self.take(call)
        return outcome_of(call, asked)


def outcome_of(call: RecordedCall, asked: Asked) -> Outcome:
    """Return how a unary call ended, with the ids of now."""
    renaming = Renaming()
    by_content: dict[str, list[str]] = {}
    for item, actual in zip(asked.request.inputs, asked.ids, strict=True):
        by_content.setdefault(item.content, []).append(actual)
    for item in call.inputs:
        if ids := by_content.get(item.content):
            renaming.add(item.id, ids.pop(0))
    seconds = call.end.at
    if call.end.value != OK:
        return Outcome(call.end.value, seconds=seconds, renaming=renaming)
    return Outcome(OK, answer_bytes(call.answers[0], renaming) if call.answers else b"", seconds, renaming)


def answer_bytes(answer: Message | bytes, renaming: Renaming) -> bytes:
    """Serialise a recorded answer, with the ids of now."""
    if isinstance(answer, bytes):
        return answer
    message = type(answer)()
    message.CopyFrom(answer)
    if isinstance(message, rpc.MultiOutputResponse):
        for output in message.outputs:
            if output.input.id:
                output.input.id = renaming.id(output.input.id)
    raw = message.SerializeToString()
    if b"<input " in raw:
        Redaction().clean(message, renaming.text)
        raw = message.SerializeToString()
    return raw


def shares(response: Message | bytes, inputs: Sequence[RecordedInput]) -> list[list[int]] | None:
    """Return which outputs of a response answer which input of its request; None where it does not say."""
    if not isinstance(response, rpc.MultiOutputResponse) or not response.outputs:
        return None
    ids = [output.input.id for output in response.outputs]
    if len(ids) == len(inputs) and all(name in ("", item.id) for name, item in zip(ids, inputs, strict=True)):
        return [[index] for index in range(len(ids))]
    names = [item.id for item in inputs]
    if len(set(names)) < len(names) or not set(ids) <= set(names):
        return None
    return [[index for index, name in enumerate(ids) if name == wanted] for wanted in names]


def _share(call: RecordedCall, index: int) -> list[int] | None:
    """Return which outputs of a unary call's answer are those of one input; None where it has none of its own."""
    if not call.answers:
        return None
    all_shares = shares(call.answers[0], call.inputs)
    return None if all_shares is None else all_shares[index] or None


def _composed(chosen: Sequence[tuple[RecordedCall, int]], asked: Asked) -> Outcome:
    """Make one answer of what was said to each input."""
    response = rpc.MultiOutputResponse()
    heads = []
    for (call, index), actual in zip(chosen, asked.ids, strict=True):
        answer = call.answers[0]
        assert isinstance(answer, rpc.MultiOutputResponse)
        renaming = Renaming()
        renaming.add(call.inputs[index].id, actual)
        part = rpc.MultiOutputResponse.FromString(answer_bytes(answer, renaming))
        heads.append(part.status)
        for output in _share(call, index) or ():
            response.outputs.append(part.outputs[output])
    response.status.CopyFrom(joined_status(heads, response))
    return Outcome(OK, response.SerializeToString(), max(call.end.at for call, _ in chosen))


def joined_status(heads: Sequence[Any], response: rpc.MultiOutputResponse) -> Any:
    """Give the status of an answer that is put together of several."""
    codes = {output.status.code for output in response.outputs}
    good = {0, SUCCESS}
    if codes <= good:
        return next((head for head in heads if head.code == SUCCESS), heads[0])
    if codes & good:
        mixed = next((head for head in heads if head.code == MIXED_STATUS), None)
        if mixed is None:
            mixed = type(heads[0])()
            mixed.CopyFrom(heads[0])
            mixed.code, mixed.description, mixed.details = MIXED_STATUS, "some inputs failed", ""
        return mixed
    return next((head for head in heads if head.code not in (SUCCESS, MIXED_STATUS)), heads[0])


def _keys(places: Sequence[tuple[RecordedCall, int]]) -> set[tuple[int, int]]:
    return {(call.number, index) for call, index in places}


__all__ = ["LEFT", "PREDICTIONS", "Asked", "Event", "Outcome", "Shelf", "answer_bytes", "outcome_of", "shares"]
