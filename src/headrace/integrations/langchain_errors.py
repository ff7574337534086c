"""The errors of headrace that LangChain has a class for, as both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from langchain_core import exceptions as langchain

from headrace import errors

CONTEXT_EXCEEDED = 30105  # of the protocol: the text is longer than the model takes


class AuthError(errors.AuthError, langchain.ModelAuthenticationError):
    """The credential is missing, wrong or insufficient."""


class PermissionDenied(errors.PermissionDenied, langchain.ModelPermissionDeniedError):
    """The credential is valid but lacks the permission."""


class NotFound(errors.NotFound, langchain.ModelNotFoundError):
    """The model does not exist."""


class InvalidRequest(errors.InvalidRequest, langchain.ModelInvalidRequestError):
    """The server refuses the request as it is."""


class ContextOverflow(errors.InvalidRequest, langchain.ContextOverflowError):
    """The conversation is longer than the model takes."""


class PayloadTooLarge(errors.PayloadTooLarge, langchain.ModelInvalidRequestError):
    """The request is over the server's size limit."""


class QuotaExceeded(errors.QuotaExceeded, langchain.ModelPermissionDeniedError):
    """The account's quota is used up."""


class Throttled(errors.Throttled, langchain.ModelRateLimitError):
    """Too many requests a second, even after all retries."""


class ModelNotReady(errors.ModelNotReady, langchain.ModelAPIError):
    """The model is not deployed, or did not become ready in time."""


class ServerCancelled(errors.ServerCancelled, langchain.ModelAPIError):
    """The server cancelled the work."""


class PredictionFailed(errors.PredictionFailed, langchain.ModelAPIError):
    """The model failed."""


class ConnectFailed(errors.ConnectFailed, langchain.ModelConnectionError):
    """No connection to the server could be made."""


class ConnectionLost(errors.ConnectionLost, langchain.ModelConnectionError):
    """The connection or the call broke before its end."""


class DeadlineExceeded(errors.DeadlineExceeded, langchain.ModelTimeoutError):
    """A timeout ran out."""


_BOTH: dict[type[errors.HeadraceError], type[errors.HeadraceError]] = {
    cls.__bases__[0]: cls
    for cls in (
        AuthError,
        PermissionDenied,
        NotFound,
        InvalidRequest,
        PayloadTooLarge,
        QuotaExceeded,
        Throttled,
        ModelNotReady,
        ServerCancelled,
        PredictionFailed,
        ConnectFailed,
        ConnectionLost,
        DeadlineExceeded,
    )
}


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raise errors of headrace as LangChain's, too; those that it has no class for stay as they are."""
    try:
        yield
    except errors.HeadraceError as error:
        cls = ContextOverflow if error.code == CONTEXT_EXCEEDED else _BOTH.get(type(error))
        if cls is None:
            raise
        both = cls.__new__(cls, *error.args)
        both.__dict__.update(error.__dict__)
        both.args = error.args
        raise both.with_traceback(error.__traceback__) from error.__cause__


__all__ = ["raising"]
