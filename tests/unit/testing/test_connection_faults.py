"""The settings of connection faults."""

from typing import Any

import pytest

from headrace.errors import ConfigError
from headrace.testing import ConnectionFaults


@pytest.mark.parametrize(
    "settings",
    [
        {"latency": -1},
        {"jitter": float("nan")},
        {"bandwidth": 0},
        {"slice_bytes": 0},
        {"reset_at_message": 0},
        {"reset_after_bytes": -1},
        {"half_open_after_bytes": -1},
        {"max_connections": -1},
        {"direction": "up"},
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ConnectionFaults(**settings)


def test_without_arguments_nothing_happens() -> None:
    faults = ConnectionFaults()
    assert faults == ConnectionFaults(latency=0, jitter=0, reset_after_bytes=None, blackhole=False)
    assert hash(faults) == hash(ConnectionFaults())
