"""The shipped photos, and models loaded once for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.server import weights
from headrace.server.models._data import shipped


@pytest.fixture(scope="session")
def photo() -> Callable[[str], bytes]:
    """Give the bytes of a shipped photo by its name."""
    return lambda name: shipped(f"samples/photos/{name}.jpg").read_bytes()


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], Path]:
    """Give weights by name, fetched if need be; without a network the test is skipped, unless that is forbidden."""

    def ensure(name: str) -> Path:
        try:
            return weights.ensure(name)
        except weights.WeightsError as error:
            if "weights" in os.environ.get("HEADRACE_REQUIRE", "").split(","):
                raise
            pytest.skip(error.description)

    return ensure


@pytest.fixture(scope="session")
def cached() -> Callable[[str], Path]:
    """Give weights that are fetched by name only, by their name; the test is skipped where they are not there."""

    def find(name: str) -> Path:
        path = {state.weight.name: state.path for state in weights.status()}[name]
        if path is None:
            pytest.skip(f"the weights are not in the cache; run: headrace models pull {name}")
        return path

    return find
