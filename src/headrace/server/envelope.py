"""Statuses and outputs of responses: how a success, a failure and a mixture look on the wire.

A failure is a response with a failing status and gRPC OK; a gRPC error would be retried blindly by other clients.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence

from headrace.server.failures import bounded, text_of
from headrace.server.model import Answer, ModelError
from headrace.v2 import resources_pb2, service_pb2, status_pb2

SUCCESS, MIXED, FAILURE = 10000, 10010, 10020
THROTTLED, KEY_INVALID, BAD_FORMAT, INVALID_REQUEST = 11005, 11008, 11100, 11102
NO_SUCH_MODEL, PREDICTION_FAILED, NOT_DEPLOYABLE, DEPLOYING, QUEUE_FULL = 21200, 21313, 21350, 21351, 40030
DOWNLOAD_FAILED, UNSUPPORTED, INVALID_ARGUMENT, OVER_LIMIT, INVALID_URL = 30002, 30101, 30104, 30105, 30106

MAX_RESPONSE_BYTES = 128 << 20  # what clients take, as the protocol has it

_SHORT = {SUCCESS: "Ok", MIXED: "Mixed status", FAILURE: "Failure"}


def status(
    code: int, details: str = "", *, req_id: str = "", time_remaining: int = 0, percent: int = 0
) -> status_pb2.Status:
    """Build a status: `description` is the code's name in words, `details` the sentence for the user."""
    message = status_pb2.Status(code=code, description=_SHORT.get(code) or _words(code))  # type: ignore[arg-type]
    if details:
        message.details = bounded(details)
    if req_id:
        message.req_id = req_id
    if time_remaining:
        message.time_remaining = time_remaining
    if percent:
        message.percent_completed = percent
    return message


def _words(code: int) -> str:
    try:
        return status_pb2.StatusCode.Name(code).replace("_", " ").capitalize()
    except ValueError:
        return f"Status {code}"


def failure(error: Exception) -> status_pb2.Status:
    """Turn an exception into a status; all but a proper `ModelError` are 21313 with the exception's text."""
    if isinstance(error, ModelError):
        try:
            if error.code != SUCCESS:
                return status(
                    error.code,
                    error.description,
                    time_remaining=getattr(error, "time_remaining", 0),
                    percent=getattr(error, "percent", 0),
                )
        except Exception:  # a model's own: a code that is not a number, a description that is not a text
            pass
    return status(PREDICTION_FAILED, text_of(error))


def output(result: Answer | Exception, input_id: str | None, model_id: str) -> resources_pb2.Output:
    """Build one output: an answer's data, or a failure's status; the input's id is echoed unless None."""
    message = resources_pb2.Output(id=uuid.uuid4().hex)
    message.model.id = model_id
    message.created_at.FromNanoseconds(time.time_ns())
    if input_id is not None:
        message.input.id = input_id
    if isinstance(result, Answer):
        try:
            message.data.CopyFrom(result.data)
            message.prompt_tokens = result.prompt_tokens
            message.completion_tokens = result.completion_tokens
        except Exception as error:  # a model's own: data that are none, tokens that are not a number
            message.ClearField("data")
            result = error
    if isinstance(result, Answer):
        message.status.CopyFrom(status(SUCCESS))
    else:
        message.status.CopyFrom(failure(result))
    return message


def _too_large(message: resources_pb2.Output, size: int) -> None:
    """Turn an output that no response can carry into that input's failure."""
    message.ClearField("data")
    limit = f"a response has at most {MAX_RESPONSE_BYTES >> 20} MB"
    message.status.CopyFrom(status(INVALID_REQUEST, f"the answer has {size >> 20} MB; {limit}"))


def response(outputs: Sequence[resources_pb2.Output], req_id: str) -> service_pb2.MultiOutputResponse:
    """Build the response of some outputs: 10000, 10010 when some failed, their own code when all failed alike."""
    total = 0
    for message in outputs:
        size = message.ByteSize()
        if total + size > MAX_RESPONSE_BYTES:
            _too_large(message, size)
            size = message.ByteSize()
        total += size
    codes = [int(o.status.code) for o in outputs]
    failed = [c for c in codes if c != SUCCESS]
    if not failed:
        whole = status(SUCCESS, req_id=req_id)
    elif len(failed) < len(codes):
        whole = status(MIXED, f"{len(failed)} of {len(codes)} inputs failed", req_id=req_id)
    elif len(set(failed)) == 1:
        whole = status(failed[0], outputs[0].status.details, req_id=req_id)
    else:
        whole = status(FAILURE, f"all {len(codes)} inputs failed, in different ways", req_id=req_id)
    whole_response = service_pb2.MultiOutputResponse(status=whole)
    whole_response.outputs.extend(outputs)
    return whole_response


def refusal(
    error: Exception, input_ids: Iterable[str | None], model_id: str, req_id: str
) -> service_pb2.MultiOutputResponse:
    """Build the response to a request that failed as a whole: every input's output carries the same status."""
    message = service_pb2.MultiOutputResponse(status=failure(error))
    message.status.req_id = req_id
    message.outputs.extend(output(error, input_id, model_id) for input_id in input_ids)
    return message
