"""gRPC's core seen from outside: by its threads and its objects."""

from __future__ import annotations

import gc
import importlib
import itertools
import time
from pathlib import Path

import pytest

from headrace.transport.grpc import core

pytestmark = pytest.mark.core


def listed(path: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (path / str(number)).mkdir()
        (path / str(number) / "comm").write_text(name + "\n")


@pytest.mark.parametrize(
    ("names", "running"),
    [
        (["python"], False),
        (["python", "python", "worker"], False),
        (["python", "event_engine"], True),
        (["python", "grpc_global_tim"], True),
        (["python", "worker", "lifeguard"], True),
    ],
)
def test_it_runs_where_its_threads_are(
    names: list[str], running: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(tmp_path, *names)
    monkeypatch.setattr(core, "TASKS", str(tmp_path))
    assert core.runs() is running


def test_a_thread_that_ends_meanwhile_is_none_of_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(tmp_path, "python", "event_engine")
    (tmp_path / "1" / "comm").unlink()
    monkeypatch.setattr(core, "TASKS", str(tmp_path))
    assert core.runs() is False


def test_it_is_unknown_where_the_system_lists_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "TASKS", str(tmp_path / "not"))
    assert core.runs() is None
    monkeypatch.setattr(core, "is_held", lambda: False)
    started = time.monotonic()
    assert core.settle(0.02)
    assert time.monotonic() - started >= 0.02  # there is nothing to see but time


def test_it_is_held_by_a_channel_that_only_a_cycle_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    class AioChannel:
        pass

    monkeypatch.setattr(core, "OBJECTS", ("AioChannel",))
    monkeypatch.setattr(core, "runs", lambda: core.is_held() and "AioChannel" in core.OBJECTS)
    monkeypatch.setattr(core, "QUICK_END", 0.0)
    channel = AioChannel()
    channel.itself = channel  # type: ignore[attr-defined]
    gc.disable()
    try:
        assert core.is_held()
        assert not core.settle(0.01)  # we hold it
        del channel
        assert core.is_held()
        assert core.settle(0.01)
        assert not core.is_held()
    finally:
        gc.enable()


def test_settling_ends_with_the_last_thread_or_with_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.chain([True] * 5, itertools.repeat(False))
    monkeypatch.setattr(core, "runs", lambda: next(looks))
    assert core.settle(60.0)
    assert next(looks) is False
    monkeypatch.setattr(core, "runs", lambda: True)
    monkeypatch.setattr(core, "is_held", lambda: False)
    assert core.settle(0.01)  # it is another one's, and not of the kind that a fork breaks


@pytest.mark.parametrize("kind", core.OBJECTS)
def test_grpc_has_such_objects_and_the_collector_knows_them(kind: str) -> None:
    cygrpc = importlib.import_module("grpc._cython.cygrpc")
    assert getattr(cygrpc, kind).__flags__ & (1 << 14)  # Py_TPFLAGS_HAVE_GC
