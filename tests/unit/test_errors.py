"""The tree of errors: places in it, fields, codes, and that errors survive copying and pickling."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import headrace
from headrace import errors
from headrace.errors import HeadraceError
from headrace.results import Prediction

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, HeadraceError)]


def example(cls: type[HeadraceError]) -> HeadraceError:
    """Make an error of the class with every attribute set."""
    made: dict[type[HeadraceError], HeadraceError] = {
        errors.InputError: errors.InputError("it is empty", input_id="a"),
        errors.SourceError: errors.SourceError("unreachable", source="http://h/x", position=7),
        errors.PartialFailure: errors.PartialFailure(
            {0: Prediction(b"\x0a", (), input_id="a")},
            {1: errors.InputError("bad", input_id="b"), 3: errors.AuthError("no", code=11001)},
        ),
        errors.StreamBroken: errors.StreamBroken("broke", text="so far", received=3, unanswered=["x", "y"]),
    }
    if cls in made:
        return made[cls]
    if issubclass(cls, errors.TransportError):
        return cls("lost", target="h:1", attempt=3, status="UNAVAILABLE", unprocessed=True, retry_after=1.5)
    if issubclass(cls, errors.ServerError):
        return cls(
            "no",
            code=21200,
            name="MODEL_DOES_NOT_EXIST",
            description="no such model",
            details="spelling",
            request_id="r1",
            input_id="i1",
            attempt=2,
            retry_after=4.0,
        )
    return cls("a sentence")


def test_every_error_is_public_and_documented(subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(cls=cls):
            assert getattr(headrace, cls.__name__) is cls
            assert cls.__doc__


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (errors.ConfigError, [ValueError]),
        (errors.ConcurrentUse, [RuntimeError]),
        (errors.DeadlineExceeded, [TimeoutError, errors.TransportError]),
        (errors.ConnectFailed, [errors.TransportError]),
        (errors.ConnectionLost, [errors.TransportError]),
        *[
            (cls, [errors.ServerError])
            for cls in (
                errors.AuthError,
                errors.PermissionDenied,
                errors.NotFound,
                errors.InvalidRequest,
                errors.PayloadTooLarge,
                errors.QuotaExceeded,
                errors.Throttled,
                errors.ModelNotReady,
                errors.ServerCancelled,
                errors.PredictionFailed,
            )
        ],
    ],
)
def test_errors_can_be_caught_by_their_bases(cls: type[HeadraceError], bases: list[type[Exception]]) -> None:
    assert issubclass(cls, HeadraceError)
    assert all(issubclass(cls, base) for base in bases)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_every_error_survives_copying_and_pickling(how: object, subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(cls=cls):
            error = example(cls)
            error.__cause__ = errors.ConnectionLost("why", attempt=2)
            twin = how(error)  # type: ignore[operator]
            assert type(twin) is cls
            assert str(twin) == str(error)
            assert twin.args == error.args
            assert twin.code == error.code
            assert isinstance(twin.__cause__, errors.ConnectionLost)
            assert twin.__cause__.attempt == 2
            for name, value in vars(error).items():
                got = getattr(twin, name)
                if isinstance(value, dict) and not isinstance(got, type(None)):
                    assert list(got) == list(value)
                    assert [type(v) for v in got.values()] == [type(v) for v in value.values()]
                else:
                    assert got == value


def test_a_cause_that_cannot_come_along_stays_behind() -> None:
    error = errors.StreamBroken("broke")
    error.__cause__ = RuntimeError(lambda: None)
    assert pickle.loads(pickle.dumps(error)).__cause__ is None


def test_a_pickled_timeout_is_still_a_timeout() -> None:
    twin = pickle.loads(pickle.dumps(errors.DeadlineExceeded("too slow", target="t")))
    assert isinstance(twin, errors.DeadlineExceeded)
    assert isinstance(twin, TimeoutError)
    assert (str(twin), twin.target) == ("too slow", "t")


def test_every_error_has_a_code_and_a_message(subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(cls=cls):
            error = example(cls)
            assert error.code is None or isinstance(error.code, int)
            assert error.message == str(error) != ""


def test_a_partial_failure_keeps_both_and_names_the_first() -> None:
    good, bad = Prediction(b"", ()), errors.NotFound("no such model", code=21200)
    error = errors.PartialFailure({0: good, 1: good}, {2: bad, 5: errors.InputError("empty")})
    assert error.predictions == {0: good, 1: good}
    assert error.errors[2] is bad
    assert error.code == 21200
    assert str(error).startswith("2 of 4 inputs failed, the first at position 2: no such model")


def test_a_broken_stream_keeps_what_came() -> None:
    error = errors.StreamBroken("broke", text="abc", received=2, unanswered=["x"])
    assert (error.text, error.received, error.unanswered) == ("abc", 2, ("x",))
    assert errors.StreamBroken("broke").unanswered == ()
