"""What a response's bytes say: good outputs, failed ones, or a failure of the whole request."""

from __future__ import annotations

from dataclasses import dataclass

from headrace import codec, status
from headrace.errors import PredictionFailed, ServerError
from headrace.results import Status, status_of
from headrace.status import Kind
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2


@dataclass(frozen=True, slots=True)
class Envelope:
    """A response taken apart.

    Attributes:
        raw: the bytes as received.
        status: the envelope's status.
        answers: one per output: the output, or the error that its status tells.
        failure: the error of the whole request, where no output tells one; else None.
        marker: neither a result nor a failure: to be skipped.
    """

    raw: bytes
    status: Status
    answers: tuple[pb.Output | ServerError, ...]
    failure: ServerError | None
    marker: bool = False

    @property
    def refusal(self) -> ServerError | None:
        """The error of a request of which nothing succeeded, the first one where its outputs have their own."""
        if self.failure is not None:
            return self.failure
        errors = [answer for answer in self.answers if isinstance(answer, ServerError)]
        return errors[0] if errors and len(errors) == len(self.answers) else None


def read(raw: bytes) -> Envelope:
    """Take a response apart.

    Raises:
        PredictionFailed: the bytes are not a response.
    """
    response = codec.decode(raw)
    envelope = status_of(response)
    kind = status.kind(envelope.code)
    answers: list[pb.Output | ServerError] = []
    for output in response.outputs:
        error = failure_of(output.status, envelope.request_id, output.input.id) if output.HasField("status") else None
        answers.append(error or output)
    if kind in (Kind.OK, Kind.MIXED):
        return Envelope(raw, envelope, tuple(answers), None)
    if kind is Kind.MARKER:
        return Envelope(raw, envelope, (), None, marker=True)
    failure = failure_of(response.status, envelope.request_id, None)
    if answers and all(isinstance(answer, ServerError) for answer in answers):
        return Envelope(raw, envelope, tuple(answers), None)  # every output tells its own failure
    return Envelope(raw, envelope, (), failure)


def failure_of(message: status_pb2.Status, request_id: str = "", input_id: str | None = None) -> ServerError | None:
    """Make the error that a status tells, or None where it tells of none.

    Args:
        request_id: the envelope's, where the status has none of its own.
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
    )
