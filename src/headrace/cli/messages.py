"""Errors as sentences for people at a terminal; with codes only from remote servers."""

from __future__ import annotations

import os
import re

from headrace.errors import HeadraceError, InputError, PartialFailure, ServerError

_CODE = re.compile(r" \([A-Z][A-Z0-9_]+ \d{5}\)")
_REQUEST = re.compile(r" \[request [^\]\s]+\]")
_WRONG_TYPE = 30101
_SAYS_ALL = (21200, 21350)  # no such model, or it cannot be loaded: the server's text says what to do

_all_local = False


def talk_to(*, local: bool) -> None:
    """Note whether the server is remote: codes and request ids of a local one are useless."""
    global _all_local
    _all_local = local


def sentence(error: BaseException) -> str:
    """Write an error's message; unchanged if HEADRACE_DEBUG is set."""
    text = str(error)
    if os.environ.get("HEADRACE_DEBUG"):
        return text
    if _all_local:
        for one in _with_causes(error):
            if isinstance(one, ServerError) and one.code is not None and one.details:
                text = text.replace(f"{one.description}: {one.details}", one.details)
        text = _REQUEST.sub("", _CODE.sub("", text))
        if isinstance(error, ServerError) and error.code in _SAYS_ALL:
            text = error.details or error.description
    return text


def of_input(name: str, error: BaseException) -> str:
    """Write the error of one input, with its name once."""
    text = sentence(error)
    return f"{name}: {text}" if name and name not in text else text


def is_of_input(error: BaseException) -> bool:
    """Return whether an error is about one input, so that its name belongs in front."""
    return isinstance(error, InputError) or (isinstance(error, ServerError) and error.input_id is not None)


def refuses_type(error: BaseException | None) -> bool:
    """Return whether a model refuses an input's type: all others of the type are refused too."""
    return (
        isinstance(error, ServerError)
        and error.code == _WRONG_TYPE
        and "the input holds " in error.details + error.description
    )


def _with_causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        if isinstance(at, PartialFailure):
            chain += at.errors.values()
        at = at.__cause__ if isinstance(at, HeadraceError) else None
    return chain
