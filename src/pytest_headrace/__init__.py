"""The pytest plugin of headrace: tapes, a model double and an embedded server as fixtures.

It is a package of its own so that pytest, which loads it in every run, imports nothing of headrace before a test asks
for it. What it offers is described in docs/testing.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headrace.testing import ModelDouble, Tape
    from pytest_headrace.server import Server, Servers

__all__ = ["headrace_server", "model_double", "tape"]

MODES = ("replay", "record", "once")
UNUSED = "headrace_tape_unused"  # of a report's properties: what of a tape was not replayed
WRITTEN = "headrace_tape_written"
LONGEST = 100  # characters of a file's name

_passed: pytest.StashKey[bool] = pytest.StashKey()

MARKS = {
    'headrace_tape(path=None, mode="replay", speed=0, strip=(), transport="auto", strict=False)': (
        "the tape of the fixture `tape`; path is relative to the test's file, strict fails where a recorded call is "
        "not replayed"
    ),
    "headrace_double(**arguments)": (
        "what the fixture `model_double` is made with, as of headrace.testing.ModelDouble"
    ),
    'headrace_server(models=["echo"], serve=())': (
        "what the server of the fixture `headrace_server` serves: ids of built-in models, and classes as "
        "path/to/module.py:Class"
    ),
    "headrace_faults(script, **rule)": (
        "faults of `headrace_server` and `model_double`: a fault script (TOML, its path, or a dict), or one rule as "
        "keywords"
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.getgroup("headrace", "tapes of headrace").addoption(
        "--headrace-tape",
        choices=MODES,
        default=None,
        help="replay what was recorded (the default, or as the test is marked), record it anew, or once: record where "
        "there is no tape",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test has passed: a failed one keeps no recording. Cut what errors of tapes show of headrace."""
    if call.excinfo is not None and type(call.excinfo.value).__module__ == "headrace.testing.tape.errors":
        _cut(call.excinfo.value.__traceback__)
    report = yield
    if report.when == "call":
        item.stash[_passed] = report.passed
    return report


def _cut(traceback: TracebackType | None) -> None:
    """End a traceback where headrace begins: an error of a tape is about the code that called it."""
    while traceback is not None and (inner := traceback.tb_next) is not None:
        if inner.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "headrace":
            traceback.tb_next = None
        traceback = traceback.tb_next


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was recorded, and which recorded calls were not replayed."""
    lines = {
        f"{'recorded' if name == WRITTEN else 'not replayed'}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name in (UNUSED, WRITTEN)
    }
    if lines:
        terminalreporter.section("headrace tapes")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture
def tape(request: pytest.FixtureRequest) -> Iterator[Tape]:
    """The tape of this test, for `Client(transport=tape)`: tapes/<module>/<test>.jsonl beside the test's file.

    Replayed by default; recorded with `pytest --headrace-tape=record` (or "once"), and kept where the test passes.
    """
    from headrace.testing import Tape, TapeError

    settings = _settings(request.node, "headrace_tape", ("path",))
    mode = request.config.getoption("--headrace-tape") or settings.pop("mode", "replay")
    settings.pop("mode", None)
    strict = settings.pop("strict", False)
    path = request.path.parent / (settings.pop("path", None) or tape_path(request.path, request.node))
    try:
        made = Tape(path, mode, **settings)
    except TapeError as error:  # the message says it all
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with made:
        yield made
        passed = request.node.stash.get(_passed, False)
        if not passed:
            made.discard()
    if passed and made.recording:
        request.node.user_properties.append((WRITTEN, str(path)))
    elif passed:
        made.check(unused=strict)
        request.node.user_properties += [
            (UNUSED, f"{path}:{call.line}: {call.method}, call {call.number}") for call in made.unused
        ]


@pytest.fixture
def model_double(request: pytest.FixtureRequest) -> ModelDouble:
    """A model that is a function, for `Client(transport=model_double)`: it repeats its input; set `.function`.

    Marks: `headrace_double` has its arguments, `headrace_faults` its faults.
    """
    from pytest_headrace.faults import FaultyDouble, parsed, script_of

    settings = {"function": repeat, **_settings(request.node, "headrace_double", ("function",))}
    return FaultyDouble(parsed(script_of(request.node, request.path.parent)), **settings)


@pytest.fixture
def headrace_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """An embedded server on a free port, a process of its own: `headrace_server.base_url`, `.client()`, `.model()`.

    It serves the model "echo", or those of the mark `headrace_server`. Tests share one for as long as the session; a
    test that is marked with `headrace_faults` has one of its own.
    """
    from pytest_headrace.faults import parsed, script_of

    settings = _settings(request.node, "headrace_server", ("models", "serve"))
    models = _names(settings.pop("models", ("echo",)), "models")
    serve = tuple(_relative(target, request.path.parent) for target in _names(settings.pop("serve", ()), "serve"))
    if settings:
        raise pytest.UsageError(f"headrace_server has no {', '.join(settings)}; it has models and serve")
    faults = script_of(request.node, request.path.parent)
    parsed(faults)  # a mistake shows here, and not as a server that does not start
    servers: Servers = request.getfixturevalue("_headrace_servers")
    with servers.lent(models, serve, faults) as server:
        yield server


@pytest.fixture(scope="session")
def _headrace_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    from pytest_headrace.server import Servers

    servers = Servers(tmp_path_factory.mktemp("headrace"))
    yield servers
    servers.close()


def repeat(item: Any) -> Any:
    """Answer with the input itself."""
    return item.text or item.data


def tape_path(file: Path, node: pytest.Item) -> Path:
    """Give the path of a test's tape, relative to the folder of the test's file: readable, and one for each test."""
    names = [file.stem, *(part.name for part in node.listchain() if isinstance(part, pytest.Class)), node.name]
    return Path("tapes", *(_file_name(name) for name in names[:-1]), f"{_file_name(names[-1])}.jsonl")


def _file_name(name: str) -> str:
    """Make a name that every file system takes; one that is changed for that gets a hash, so that it stays unique."""
    plain = re.sub(r"[^\w\-.\[\],= ]", "_", name, flags=re.ASCII).strip(". ")[:LONGEST]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _settings(node: pytest.Item, name: str, positional: tuple[str, ...]) -> dict[str, Any]:
    """Give the arguments of a mark; those of the test go before those of its class and its module."""
    settings: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers(name))):
        if len(mark.args) > len(positional):
            raise pytest.UsageError(f"{name} takes at most {len(positional)} arguments without a name: {mark.args!r}")
        settings.update(zip(positional, mark.args, strict=False))
        settings.update(mark.kwargs)
    return settings


def _names(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        raise pytest.UsageError(f"headrace_server: {name} must be a list, as in {name}=[{value!r}]")
    return tuple(value)


def _relative(target: str, folder: Path) -> str:
    """Find a class in a file beside the test's."""
    path, _, name = target.rpartition(":")
    return f"{folder / path}:{name}" if path.endswith(".py") else target
