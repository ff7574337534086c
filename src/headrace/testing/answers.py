"""The inputs and answers of a model double, and their form on the wire."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

from google.protobuf import json_format

from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2, status_pb2

SUCCESS, MIXED, FAILURE = 10000, 10010, 10020

Shape: TypeAlias = Literal["predict", "generate", "stream"]


@dataclass(frozen=True)
class ReceivedInput:
    """One input as the model double received it.

    Attributes:
        id: the input's id, "" when the client gave none.
        shape: the call that brought it: "predict", "generate" or "stream".
        attempt: 1 when an input of this id comes for the first time, 2 for the second, ...
        data: the input as received.
        metadata: the call's metadata.
        request: the request that it came in.
    """

    id: str
    shape: Shape
    attempt: int
    data: pb.Data = field(repr=False)
    metadata: dict[str, str] = field(repr=False)
    request: service_pb2.PostModelOutputsRequest = field(repr=False)

    @property
    def text(self) -> str:
        """The input's text, "" when it has none."""
        return self.data.text.raw

    @property
    def image(self) -> bytes:
        """The input's encoded picture, b"" when it has none."""
        return self.data.image.base64

    @cached_property
    def params(self) -> dict[str, Any]:
        """The inference parameters; numbers are floats, as on the wire."""
        return json_format.MessageToDict(self.request.model.model_version.output_info.params)

    @property
    def output_config(self) -> pb.OutputConfig:
        """The output configuration."""
        return self.request.model.model_version.output_info.output_config


@dataclass(frozen=True, slots=True)
class Fail:
    """An answer that is a failure: a Clarifai status code, as the server would send it.

    Attributes:
        code: Clarifai status code, such as 11005 (throttled) or 30300 (invalid bytes).
        description: the sentence that goes along.
        details: the second sentence.
        time_remaining: the server's hint in seconds, 0 for none.
        envelope_only: the response holds this status and nothing else; otherwise the input's output holds it as well.
    """

    code: int
    description: str = ""
    details: str = ""
    time_remaining: int = 0
    envelope_only: bool = False


@dataclass(frozen=True, slots=True)
class GrpcFail:
    """An answer that is a gRPC status: the call ends with it.

    Attributes:
        status: its name, such as "UNAVAILABLE".
        details: the sentence that goes along.
        retry_after: the server's hint in seconds, or None.
        unprocessed, broken, too_large: what happened, if it was not the server's own decision: the stream was
            refused unseen, it was reset halfway, or a message was over a limit.
    """

    status: str
    details: str = ""
    retry_after: float | None = None
    unprocessed: bool = False
    broken: bool = False
    too_large: bool = False


#: One answer: text, concepts as (name, value) pairs, the protocol's messages, or a failure (an int is `Fail(code)`).
Answer: TypeAlias = str | Sequence[tuple[str, float]] | pb.Data | pb.Output | int | Fail | GrpcFail
#: What a model function returns: an answer, or for `generate` several (usually pieces of text).
Answers: TypeAlias = Answer | Iterable[Answer] | AsyncIterable[Answer]
#: Returns `Answers`, or an awaitable of them; `Any`, so that a lambda with a mixed list needs no annotation.
ModelFunction: TypeAlias = Callable[[ReceivedInput], Any]


def is_one(answers: Answers) -> bool:
    """Distinguish one answer from several."""
    if isinstance(answers, str | pb.Data | pb.Output | int | Fail | GrpcFail):
        return True
    return isinstance(answers, list | tuple) and all(isinstance(pair, tuple) for pair in answers)


async def one_by_one(answers: Answers) -> AsyncGenerator[Answer, None]:
    """Yield answers one by one from any form; closing it closes a generator underneath."""
    if is_one(answers):
        yield cast("Answer", answers)
    elif isinstance(answers, AsyncIterable):
        try:
            async for answer in answers:
                yield answer
        finally:
            if isinstance(answers, AsyncGenerator):
                await answers.aclose()
    elif isinstance(answers, Iterable):
        for answer in cast("Iterable[Answer]", answers):
            yield answer
    else:
        raise TypeError(f"the model function returned {type(answers).__name__}, which is not an answer")


def joined(several: Sequence[Answer]) -> Answer:
    """Make one answer from several: the first failure if there is one, else the joined pieces of text.

    Raises:
        TypeError: there are several of other kinds.
    """
    failure = next((answer for answer in several if isinstance(answer, int | Fail | GrpcFail)), None)
    if failure is not None:
        return failure
    if len(several) == 1:
        return several[0]
    pieces = [answer for answer in several if isinstance(answer, str)]
    if len(pieces) < len(several):
        raise TypeError("several answers to one input of predict or stream must be pieces of text")
    return "".join(pieces)


def to_output(answer: Answer, input_id: str | None) -> pb.Output:
    """Build an output: data or a failing status; `input_id` is echoed unless None."""
    output = pb.Output(status=to_status(SUCCESS))
    if isinstance(answer, pb.Output):
        output.MergeFrom(answer)
    elif isinstance(answer, pb.Data):
        output.data.CopyFrom(answer)
    elif isinstance(answer, str):
        output.data.text.raw = answer
    elif isinstance(answer, int | Fail):
        output.status.CopyFrom(to_status(answer))
    elif isinstance(answer, GrpcFail):
        raise TypeError("a gRPC failure ends the call; it has no output")
    elif not isinstance(answer, list | tuple):
        raise TypeError(f"{type(answer).__name__} is not an answer of a model")
    else:
        output.data.concepts.extend(pb.Concept(id=name, name=name, value=value) for name, value in answer)
    if input_id is not None:
        output.input.id = input_id
    return output


def to_status(answer: int | Fail, request_id: str = "") -> status_pb2.Status:
    """Build a status."""
    fail = Fail(answer) if isinstance(answer, int) else answer
    return status_pb2.Status(
        code=fail.code,  # type: ignore[arg-type]
        description=fail.description or _name(fail.code),
        details=fail.details,
        time_remaining=fail.time_remaining,
        req_id=request_id,
    )


def to_response(
    answers: Sequence[Answer], input_ids: Sequence[str | None], request_id: str
) -> service_pb2.MultiOutputResponse:
    """Build the response of a request: 10000; 10010 if some inputs failed; if all did, their code or 10020."""
    for answer in answers:
        if isinstance(answer, Fail) and answer.envelope_only:
            return service_pb2.MultiOutputResponse(status=to_status(answer, request_id))
    outputs = [to_output(answer, input_id) for answer, input_id in zip(answers, input_ids, strict=True)]
    codes = {int(output.status.code) for output in outputs}
    if codes <= {SUCCESS}:
        whole = to_status(SUCCESS, request_id)
    elif SUCCESS in codes:
        whole = to_status(MIXED, request_id)
    elif len(codes) == 1:
        whole = status_pb2.Status()
        whole.CopyFrom(outputs[0].status)
        whole.req_id = request_id
    else:
        whole = to_status(FAILURE, request_id)
    return service_pb2.MultiOutputResponse(status=whole, outputs=outputs)


def _name(code: int) -> str:
    try:
        return status_pb2.StatusCode.Name(code)
    except ValueError:
        return f"Status {code}"
