"""Every error that headrace raises.

::

    HeadraceError
      ConfigError (ValueError)        wrong arguments, found before anything is sent
      InputError                      a local check of one input failed: size, type, missing file
      SourceError                     a source failed: unreachable URL, broken video
      ClosedError                     used after close
      ConcurrentUse (RuntimeError)    two tasks read one stream at once
      TransportError
        ConnectFailed                 no connection to the target
        ConnectionLost                the connection or the call broke
        DeadlineExceeded (TimeoutError)
      ServerError                     the server answered with a failure
        AuthError  PermissionDenied  NotFound  InvalidRequest  PayloadTooLarge
        QuotaExceeded  Throttled  ModelNotReady  ServerCancelled  PredictionFailed
      PartialFailure                  some inputs of a batch failed
      StreamBroken                    a stream ended early

Every error has `code`: the Clarifai status code (int), or None if there is none. Messages say what happened, to
which input, after how many attempts, and what to do; they never hold a credential or a payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar


class StatusDetail(NamedTuple):
    """One message that a server attached to a gRPC status.

    Attributes:
        type_url: which message it is, such as "type.googleapis.com/google.rpc.BadRequest".
        value: the message, serialized.
    """

    type_url: str
    value: bytes


class HeadraceError(Exception):
    """The root of all errors of headrace; `code` is the Clarifai status code or None."""

    code: int | None = None

    @property
    def message(self) -> str:
        """The message."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Support copying and pickling (process pools) with all attributes, and the cause if it can be pickled."""
        cause = self.__cause__ if isinstance(self.__cause__, HeadraceError | OSError) else None
        return _remade, (type(self), self.args, self.__dict__.copy(), cause)


class ConfigError(HeadraceError, ValueError):
    """An argument is wrong; nothing was sent."""


class InputError(HeadraceError):
    """A local check of one input failed; it was not sent.

    Attributes:
        input_id: the input's id, or None when it has none yet.
        source: what the input came from, such as a file's path; "" if that is not known.
    """

    def __init__(self, message: str, *, input_id: str | None = None, source: str = "") -> None:
        super().__init__(message)
        self.input_id = input_id
        self.source = source


class SourceError(HeadraceError):
    """A source of inputs failed.

    Attributes:
        source: what failed, such as a URL without its query.
        position: position of the item in the source, counted from 0, or None.
    """

    def __init__(self, message: str, *, source: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.position = position


class ClosedError(HeadraceError):
    """The client, model or stream is closed."""


class ConcurrentUse(HeadraceError, RuntimeError):
    """Two tasks read one stream at once; give each its own stream, or hand the predictions on from one reader."""


class TransportError(HeadraceError):
    """The connection or the call failed underneath the protocol.

    Attributes:
        target: the server's address.
        attempt: how many attempts were made (1 for the first).
        status: the gRPC status name, such as "UNAVAILABLE", or "" if the failure is local.
        unprocessed: the server surely never saw the call, so sending it again is harmless.
        permanent: trying again cannot help: something other than the expected server answered.
        http_status: what a proxy answered instead of a gRPC status, such as 504, or None.
        retry_after: the server's hint in seconds, or None; a negative one asks not to try again.
        details: the peer's or the transport's text, "" when none; may be longer than the message.
        status_details: what the server attached to the gRPC status (grpc-status-details-bin).
    """

    def __init__(
        self,
        message: str,
        *,
        target: str = "",
        attempt: int = 1,
        status: str = "",
        unprocessed: bool = False,
        permanent: bool = False,
        http_status: int | None = None,
        retry_after: float | None = None,
        details: str = "",
        status_details: tuple[StatusDetail, ...] = (),
    ) -> None:
        super().__init__(message)
        self.target = target
        self.attempt = attempt
        self.status = status
        self.unprocessed = unprocessed
        self.permanent = permanent
        self.http_status = http_status
        self.retry_after = retry_after
        self.details = details
        self.status_details = status_details


class ConnectFailed(TransportError):
    """No connection to the target could be made."""


class ConnectionLost(TransportError):
    """The connection or the call broke before its end."""


class DeadlineExceeded(TransportError, TimeoutError):
    """A timeout has passed; the message says which one."""


class ServerError(HeadraceError):
    """The server answered with a failure.

    Attributes:
        code: Clarifai status code, or None when the failure is a gRPC status.
        name: the code's name, such as "CONN_KEY_INVALID", or its number as text when unknown.
        description: the server's sentence.
        details: the server's details, "" when none.
        request_id: the server's id of the request, for support, "" when none.
        input_id: the input that failed, or None when the whole call did.
        attempt: how many attempts were made.
        retry_after: the server's hint in seconds (`time_remaining`, retry-after), or None; a negative one asks not to
            try again.
        percent: progress of the model's warm-up, or None if the server does not say.
        status_details: what the server attached to the gRPC status (grpc-status-details-bin).
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        name: str = "",
        description: str = "",
        details: str = "",
        request_id: str = "",
        input_id: str | None = None,
        attempt: int = 1,
        retry_after: float | None = None,
        percent: int | None = None,
        status_details: tuple[StatusDetail, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.name = name
        self.description = description
        self.details = details
        self.request_id = request_id
        self.input_id = input_id
        self.attempt = attempt
        self.retry_after = retry_after
        self.percent = percent
        self.status_details = status_details


class AuthError(ServerError):
    """The credential is missing, wrong or insufficient."""


class PermissionDenied(ServerError):
    """The credential is valid but lacks the permission."""


class NotFound(ServerError):
    """The model, version, user, app or deployment does not exist."""


class InvalidRequest(ServerError):
    """The server refuses the request as it is; sending it again won't help."""


class PayloadTooLarge(ServerError):
    """An input or the request is over the server's size limit."""


class QuotaExceeded(ServerError):
    """The account's quota is used up."""


class Throttled(ServerError):
    """Too many requests a second, even after all retries."""


class ModelNotReady(ServerError):
    """The model is not deployed, or did not become ready within the warm-up budget."""


class ServerCancelled(ServerError):
    """The server cancelled the work."""


class PredictionFailed(ServerError):
    """The model failed, or the server answered with a code that headrace does not know."""


class PartialFailure(HeadraceError):
    """Some inputs of a batch failed; the good predictions are kept.

    Attributes:
        predictions: position in the batch -> prediction.
        errors: position in the batch -> error.
    """

    def __init__(self, predictions: Mapping[int, Any], errors: Mapping[int, HeadraceError]) -> None:
        first = next(iter(errors.items()))
        super().__init__(
            f"{len(errors)} of {len(errors) + len(predictions)} inputs failed, the first at position {first[0]}: "
            f"{first[1]} (all of them are in .predictions and .errors)"
        )
        self.code: int | None = first[1].code
        self.predictions: dict[int, Any] = dict(predictions)
        self.errors: dict[int, HeadraceError] = dict(errors)


class StreamBroken(HeadraceError):
    """A stream ended early; its cause is chained (`__cause__`).

    Attributes:
        text: the pieces received so far, joined ("" when they carry no text).
        received: how many answers arrived.
        unanswered: ids of the inputs that were sent and not answered.
    """

    def __init__(self, message: str, *, text: str = "", received: int = 0, unanswered: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.text = text
        self.received = received
        self.unanswered: tuple[str, ...] = tuple(unanswered)


def _remade(
    cls: type[HeadraceError], args: tuple[Any, ...], attributes: dict[str, Any], cause: BaseException | None
) -> HeadraceError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(attributes)
    if cause is not None:
        error.__cause__ = cause
    return error


E = TypeVar("E", bound=BaseException)


def drop_traceback(error: E) -> E:
    """Drop the traceback of an error that is kept as a value: its frames would keep the input's bytes in memory."""
    error.__traceback__ = None
    if error.__suppress_context__:
        error.__context__ = None  # never shown, and it has its own traceback
    return error
