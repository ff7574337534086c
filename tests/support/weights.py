"""Weights of models, as tests that run commands on them need them: in the cache already, or the test is skipped."""

from __future__ import annotations

import os

import pytest

from headrace.server import weights


def need(*names: str) -> None:
    """Skip where weights are not in the cache, unless HEADRACE_REQUIRE wants them; tests use no network."""
    there = {state.weight.name for state in weights.status() if state.path is not None}
    missing = [name for name in names if name not in there]
    if not missing:
        return
    how = f"run: headrace models pull {' '.join(missing)}"
    if "weights" in os.environ.get("HEADRACE_REQUIRE", "").split(","):
        pytest.fail(f"HEADRACE_REQUIRE wants the weights; {how}")
    pytest.skip(f"the weights are not in the cache; {how}")
