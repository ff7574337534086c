"""Settings refuse what cannot work, and keep their defaults."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from headrace.config import TLS, UNSET, KeepAlive, Limits, MiB, RetryPolicy, Timeouts, Transmission, Window
from headrace.errors import ConfigError

SETTINGS: list[type[Any]] = [Timeouts, RetryPolicy, Limits, Window, KeepAlive, Transmission]
NUMBERS = [
    (cls, item.name, str(item.type))
    for cls in SETTINGS
    for item in dataclasses.fields(cls)
    if "int" in str(item.type).split(" | ") or "float" in str(item.type)
]


@pytest.mark.parametrize("cls", [*SETTINGS, TLS])
def test_settings_are_frozen(cls: type[Any]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 1)


def test_every_number_is_checked() -> None:
    assert len(NUMBERS) > 30


WRONG = [-1, math.nan, -math.inf, "5", True, b"1", [1]]


@pytest.mark.parametrize("cls", SETTINGS[:-1])
def test_numbers_are_checked_by_name(cls: type[Any]) -> None:
    accepted: list[tuple[str, object]] = []  # or refused without their name
    for _, name, kind in (n for n in NUMBERS if n[0] is cls):
        wrong = [*WRONG, *([] if "None" in kind else [None])]
        for value in wrong:
            try:
                cls(**{name: value})
                accepted.append((name, value))
            except ConfigError as error:
                accepted += [] if name in str(error) else [(name, value)]
        if "None" in kind:
            assert getattr(cls(**{name: None}), name) is None
        if kind == "int":
            assert getattr(cls(**{name: 3}), name) == 3
            with pytest.raises(ConfigError, match="whole"):
                cls(**{name: 2.5})
    assert not accepted


@pytest.mark.parametrize(
    ("cls", "name"), [(Timeouts, "connect"), (Timeouts, "total"), (RetryPolicy, "initial"), (Window, "bytes")]
)
def test_zero_is_refused_where_it_cannot_work(cls: type[Any], name: str) -> None:
    with pytest.raises(ConfigError, match="positive"):
        cls(**{name: 0})


def test_zero_is_taken_where_it_means_none_at_all() -> None:
    assert Timeouts(close=0.0, warm_up=0.0).close == 0
    assert RetryPolicy(budget=0.0, unprocessed=0, hedge_after=0.0).budget == 0


@pytest.mark.parametrize(("cls", "name"), [(Timeouts, "connect"), (Timeouts, "close"), (KeepAlive, "interval")])
def test_what_must_end_is_finite(cls: type[Any], name: str) -> None:
    with pytest.raises(ConfigError, match="finite"):
        cls(**{name: math.inf})
    assert Timeouts(total=math.inf).total == math.inf


@pytest.mark.parametrize("name", ["attempts", "ambiguous_attempts", "throttled_attempts"])
def test_there_is_at_least_one_attempt(name: str) -> None:
    assert getattr(RetryPolicy(**{name: 1}), name) == 1
    with pytest.raises(ConfigError):
        RetryPolicy(**{name: 0})


def test_delays_do_not_shrink() -> None:
    with pytest.raises(ConfigError, match="multiplier"):
        RetryPolicy(multiplier=0.5)


def test_input_limits_are_completed_checked_and_read_only() -> None:
    limits = Limits(input_bytes={"image": 5})
    assert limits.input_bytes == {"image": 5, "text": 20 * MiB, "audio": 20 * MiB, "video": 128 * MiB}
    with pytest.raises(TypeError):
        limits.input_bytes["image"] = 6  # type: ignore[index]
    with pytest.raises(ConfigError, match="picture"):
        Limits(input_bytes={"picture": 5})
    for wrong in (-1, "5", 2.5, None):
        with pytest.raises(ConfigError, match="image"):
            Limits(input_bytes={"image": wrong})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="dict"):
        Limits(input_bytes=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "hosted", "rate"),
    [("auto", True, 15.0), ("auto", False, None), (None, True, None), (3, True, 3), (0.5, False, 0.5)],
)
def test_the_rate_is_that_of_the_hosted_api_or_what_was_asked(asked: Any, hosted: bool, rate: float | None) -> None:
    assert Limits(requests_per_second=asked).rate(hosted) == rate


def test_a_rate_is_a_number_none_or_auto() -> None:
    with pytest.raises(ConfigError, match="auto"):
        Limits(requests_per_second="fast")  # type: ignore[arg-type]


def test_a_certificate_and_its_key_go_together() -> None:
    TLS(certificate=b"c", key=b"k")
    for half in ({"certificate": b"c"}, {"key": b"k"}):
        with pytest.raises(ConfigError, match="needs"):
            TLS(**half)  # type: ignore[arg-type]


def test_a_key_is_never_shown() -> None:
    assert "CANARY" not in repr(Transmission(TLS(certificate=b"CANARY", key=b"CANARY")))


def test_not_given_is_not_none() -> None:
    assert repr(UNSET) == "UNSET"
