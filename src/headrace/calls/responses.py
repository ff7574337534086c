"""Parsing responses: good outputs, failed ones, or a failure of the whole request."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast

from headrace import codec, status
from headrace.errors import PredictionFailed, ServerError
from headrace.results import Output, Prediction
from headrace.status import Kind
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2


class Envelope(NamedTuple):
    """A parsed response.

    Attributes:
        raw: the bytes as received.
        head: the envelope's status.
        answers: one per output: the output (that of a large response not decoded yet), or the error that its status
            tells.
        failure: the error of the whole request, if no output has its own; else None.
        marker: neither a result nor a failure: to be skipped.
    """

    raw: bytes
    head: status_pb2.Status
    answers: Sequence[Output | ServerError]
    failure: ServerError | None = None
    marker: bool = False

    @property
    def refusal(self) -> ServerError | None:
        """The error of a request without any success; its first output's error if outputs have their own."""
        if self.failure is not None:
            return self.failure
        errors = [answer for answer in self.answers if isinstance(answer, ServerError)]
        return errors[0] if errors and len(errors) == len(self.answers) else None


def read(raw: bytes, inputs: int | None = None) -> Envelope:
    """Parse a response.

    Args:
        inputs: how many inputs it answers, if that is known.

    Raises:
        PredictionFailed: the bytes are not a response, or it has more outputs than any answer may have.
    """
    if len(raw) < codec.LAZY_BYTES:
        response = codec.decode(raw)
        head = response.status
        outputs: Sequence[Output] = response.outputs
        if len(outputs) > MAX_OUTPUTS and len(outputs) > (inputs or 0):
            raise miscounted(len(outputs), inputs, head.req_id)
    else:
        head, outputs = _lazy(raw, inputs)
    answers = _answers(outputs, head)
    kind = status.kind(head.code)
    if kind in _GOOD:
        return Envelope(raw, head, answers)
    if kind is Kind.MARKER:
        return Envelope(raw, head, (), marker=True)
    if answers and all(isinstance(answer, ServerError) for answer in answers):
        return Envelope(raw, head, answers)  # every output has its own failure
    return Envelope(raw, head, (), failure_of(head, head.req_id))


def _lazy(raw: bytes, inputs: int | None) -> tuple[status_pb2.Status, Sequence[Output]]:
    """Decode a large response lazily; its outputs are counted before any object is made."""
    limit = max(MAX_OUTPUTS, inputs or 0)
    try:
        return codec.lazy(raw, limit, inputs)
    except codec.TooManyOutputs:
        raise miscounted(f"more than {limit}", inputs) from None


def miscounted(outputs: int | str, inputs: int | None, request_id: str = "") -> PredictionFailed:
    """Make the error of a response with a wrong number of outputs."""
    to = "one request" if inputs is None else "1 input" if inputs == 1 else f"{inputs} inputs"
    return PredictionFailed(f"the server answered with {outputs} outputs to {to}", request_id=request_id)


LAYOUT_ATTEMPTS = 16  # for one token stream, whose pieces may all differ in more than their text
TEXT_KEPT = 1 << 20  # characters at the end of the text that the error of a broken stream has
MAX_OUTPUTS = 1024  # of one response to fewer inputs: one input may have several
SUCCESS = status_pb2.SUCCESS
_UNTROUBLED = (0, SUCCESS)  # of an output: it has no status of its own, or a good one
_GOOD = (Kind.OK, Kind.MIXED)
_NO_FAILURE = (Kind.OK, Kind.MARKER)


def _answers(outputs: Sequence[Output], head: status_pb2.Status) -> list[Output | ServerError]:
    answers: list[Output | ServerError] = []
    for output in outputs:
        code = output.status.code  # 0: it has none of its own and shares the envelope's
        if code not in _UNTROUBLED and status.kind(code) not in _NO_FAILURE:
            error = failure_of(output.status, head.req_id, id_of(output))
            answers.append(output if error is None else error)
        else:
            answers.append(output)
    return answers


def id_of(answer: Output | ServerError) -> str:
    """Return which input an answer is for, "" if it doesn't say."""
    if isinstance(answer, pb.Output):
        return answer.input.id
    return answer.input_id or ""


def prediction(input_id: str, raw: bytes) -> Prediction:
    """Make the prediction of a request with one input; a marker's has no outputs.

    Raises:
        ServerError: the input's failure, or the request's.
        PredictionFailed: the bytes are not a response.
    """
    if (single := codec.single_output(raw)) is not None:
        head, output = single
        return Prediction(raw, (output,), head, input_id)
    _, head, answers, failure, _ = read(raw, 1)
    if failure is not None:
        raise failure
    for answer in answers:
        if isinstance(answer, ServerError):
            raise answer
    return Prediction(raw, cast("Sequence[Output]", answers), head, input_id)


class Pieces:
    """Makes predictions from the messages of one token stream, and keeps the end of its text.

    Attributes:
        received: how many there were.
        input_id: of the input that the stream answers, once it is known.
    """

    __slots__ = ("_attempts", "_layout", "_single_output", "_size", "_texts", "input_id", "received")

    def __init__(self) -> None:
        self.received: int = 0
        self.input_id: str = ""
        self._layout: codec.PieceLayout | None = None
        self._attempts = 0  # to learn a layout
        self._single_output = codec.SingleOutputs().read
        self._texts: deque[str] = deque()
        self._size = 0

    @property
    def text(self) -> str:
        """The text so far, of a long one the last `TEXT_KEPT` characters or a piece more."""
        return "".join(self._texts)

    def read(self, raw: bytes) -> Prediction | None:
        """Make a prediction from one message; None for a marker.

        Raises:
            ServerError: the message reports a failure.
            PredictionFailed: the bytes are not a response, or it has no output and is no marker.
        """
        layout = self._layout
        if layout is not None and (text := layout.text_of(raw)) is not None:
            piece = Prediction.piece(raw, text, layout.status, self.input_id, self.received)
        else:
            decoded = self._decode(raw)
            if decoded is None:
                return None
            piece, text = decoded, _text_of(decoded)
        self.received += 1
        self._texts.append(text)
        self._size += len(text)
        if self._size > TEXT_KEPT:
            self._forget_oldest()
        return piece

    def _decode(self, raw: bytes) -> Prediction | None:
        if (single := self._single_output(raw)) is not None:
            head, output = single
            piece = Prediction(raw, (output,), head, self.input_id, self.received)
            data = output.data
            piece._text = text = data.text.raw or data.string_value
            if self._attempts < LAYOUT_ATTEMPTS:
                self._attempts += 1
                self._layout = codec.layout_of(raw, head, text) or self._layout
            return piece
        piece = prediction(self.input_id, raw)
        piece.position = self.received
        if piece._outputs:
            return piece
        if read(raw, 1).marker:
            return None
        raise PredictionFailed("a message of the stream has no output", request_id=piece.request_id)

    def _forget_oldest(self) -> None:
        while self._size > TEXT_KEPT and len(self._texts) > 1:
            self._size -= len(self._texts.popleft())


def _text_of(piece: Prediction) -> str:
    return piece.text if len(piece) == 1 else "".join(output.text for output in piece)


def failure_of(message: status_pb2.Status, request_id: str = "", input_id: str | None = None) -> ServerError | None:
    """Make the error that a status reports, or None if it reports none.

    Args:
        request_id: the envelope's, if the status has none of its own.
        input_id: the output's input; None: the status is an envelope's.
    """
    code = int(message.code)
    if code == 0 and input_id is not None:
        return None  # an output without a status of its own shares the envelope's
    if status.kind(code) in (Kind.OK, Kind.MARKER):
        return None
    if code == 0:
        return PredictionFailed("the server's answer has no status", request_id=request_id)
    try:
        name = status_pb2.StatusCode.Name(message.code)
    except ValueError:
        name = ""
    return status.server_error(
        code,
        name=name,
        description=message.description,
        details=message.details or message.internal_details,
        request_id=message.req_id or request_id,
        input_id=input_id or None,
        retry_after=float(message.time_remaining) if message.time_remaining else None,
        percent=message.percent_completed or None,
    )
