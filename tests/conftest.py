"""What holds for every test: a clean environment, and nothing left behind.

After each test no asyncio task runs, no thread of headrace lives, no socket or file is open and no child process runs
that was not there before. What a fixture of wider scope opens is counted as being there before.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
import threading
import time
import traceback
from asyncio import constants
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.support.turns import Turns

OPEN_FILES = Path("/proc/self/fd")
#: For what ends by itself, such as a thread that has been told to. The oldest gRPC closes its sockets later.
GRACE_SECONDS = 10.0 if metadata.version("grpcio").startswith("1.62.") else 2.0

# A machine that is busy with something else is no bug of ours.
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")

if os.environ.get("PYTHONASYNCIODEBUG") or sys.flags.dev_mode:
    # asyncio means to keep ten frames of where a future was made; those written in C keep the whole stack, pytest's own
    # as well, which takes as long as the tests.
    traceback.extract_stack.__defaults__ = (None, constants.DEBUG_STACK_DEPTH)


@dataclass(frozen=True)
class Present:
    """What is there at one moment: threads of headrace, open files and sockets, child processes."""

    threads: frozenset[threading.Thread]
    files: dict[str, str]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Present:
        threads = frozenset(t for t in threading.enumerate() if t.name.startswith("headrace"))
        return cls(threads, _open_files(), _children())

    def since(self, before: Present) -> list[str]:
        """Tell what is there now and was not before."""
        opened = [f"{what} (fd {fd})" for fd, what in self.files.items() if before.files.get(fd) != what]
        started = [f"process {pid}" for pid in self.children - before.children]
        return [f"thread {t.name}" for t in self.threads - before.threads] + opened + started


_before: pytest.StashKey[Present] = pytest.StashKey()
_turns: pytest.StashKey[Turns] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_turns] = Turns(config.rootpath)
    config.add_cleanup(config.stash[_turns].close)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let tests that measure time run alone, wherever else tests run; their own timeout counts from then on."""
    with item.config.stash[_turns].taken(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_finish() -> None:
    """Spare the collector the thousands of tests themselves: going through them would hold event loops for long."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m core`, leave files and folders without core tests alone: what they import may not be installed."""
    if config.option.markexpr != "core" or not (collection_path.is_dir() or collection_path.name.startswith("test_")):
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return not any("mark.core" in file.read_text(encoding="utf-8") for file in files) or None


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the credentials and contexts of whoever runs the tests; caches stay where they are."""
    home = Path.home()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CLARIFAI_")]:
            patch.delenv(name)
        empty = tmp_path_factory.mktemp("home")
        if not os.environ.get("XDG_CACHE_HOME"):
            patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        pip = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
        if pip.exists():
            patch.setenv("PIP_CONFIG_FILE", str(pip))
        patch.setenv("HOME", str(empty))
        patch.setenv("XDG_CONFIG_HOME", str(empty / ".config"))
        yield


@pytest.fixture(autouse=True)
def _tasks_ended(request: pytest.FixtureRequest) -> None:
    """Check the loop of async tests after all their other fixtures are gone."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    own = {asyncio.current_task()}  # of this fixture
    for _ in range(20):
        left = asyncio.all_tasks() - before - own
        if not left:
            return
        await asyncio.sleep(0)
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        await asyncio.wait(left, timeout=0.05)
        left = asyncio.all_tasks() - before - own
    assert not left, f"tasks left behind: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    wide = _uses_wide_fixtures(item)
    if not wide:
        item.stash[_before] = Present.now()
    yield
    if wide:
        item.stash[_before] = Present.now()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    yield
    if _before not in item.stash:
        return  # its setup failed
    before = item.stash[_before]
    if not Present.now().since(before):
        return
    gc.collect()  # what only a cycle still holds, such as a raw gRPC call with its traceback, is not left behind
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        left = Present.now().since(before)
        if not left:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {', '.join(left)}")
        time.sleep(0.01)


def _uses_wide_fixtures(item: pytest.Item) -> bool:
    """Whether it uses a fixture of this project that lives longer than a test."""
    definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(
        definition[-1].scope != "function"
        and definition[-1].func.__module__.split(".")[0] not in ("_pytest", "pytest_asyncio")
        and name != "_clean_environment"
        for name, definition in definitions.items()
    )


def _open_files() -> dict[str, str]:
    """Open sockets and files by descriptor; what libraries keep for themselves (event polls, pipes, devices) aside."""
    found: dict[str, str] = {}
    if not OPEN_FILES.exists():
        return found
    for fd in os.listdir(OPEN_FILES):
        try:
            what = os.readlink(OPEN_FILES / fd)
        except OSError:
            continue
        if what.startswith("socket:") or (what.startswith("/") and not what.startswith(("/dev/", "/proc/"))):
            found[fd] = what
    return found


def _children() -> frozenset[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()  # the usual case, and cheap to know
    return frozenset(child.pid for child in psutil.Process().children())
