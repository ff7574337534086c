"""Errors become one line on stderr and the documented exit code."""

from __future__ import annotations

import asyncio
import errno
import gc
import sys
from pathlib import Path

import click
import pytest

from headrace import errors as e
from headrace.cli import run as r
from headrace.support.extras import install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (e.ConfigError("wrong"), 2),
        (e.InputError("empty", input_id="a"), 2),
        (e.PartialFailure({0: "good"}, {1: e.InputError("empty")}), 1),
        (e.SourceError("unreachable"), 1),
        (e.AuthError("no", code=11008), 3),
        (e.NotFound("no such model", code=21200), 3),
        (e.NotFound("no such model", code=21200, input_id="a"), 3),
        (e.ModelNotReady("deploying", code=21351), 3),
        (e.InvalidRequest("bad picture", code=30300, input_id="a"), 1),
        (e.ConnectFailed("refused"), 4),
        (e.ConnectionLost("reset"), 4),
        (e.DeadlineExceeded("60 s"), 4),
        (KeyboardInterrupt(), 130),
        (asyncio.CancelledError(), 130),
        (click.UsageError("no input"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2),
        (ModuleNotFoundError("No module named 'PIL'", name="PIL"), 2),
        (RuntimeError("a bug"), 70),
    ],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert r.report(error) == code
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("headrace: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_a_broken_stream_has_the_code_of_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    lost = e.StreamBroken("ended early")
    lost.__cause__ = e.ConnectionLost("reset")
    assert r.report(lost) == 4
    refused = e.StreamBroken("ended early")
    refused.__cause__ = e.QuotaExceeded("used up", code=11004)
    assert r.report(refused) == 3


def test_a_missing_package_is_told_with_its_extra(capsys: pytest.CaptureFixture[str]) -> None:
    r.report(ModuleNotFoundError("No module named 'PIL'", name="PIL"))
    assert install("images") in capsys.readouterr().err


def test_messages_are_one_escaped_line_without_credentials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(r, "_secrets", set())
    r.keep_secret("canary-0123456789", "", None)
    r.say("bad\x1b[2J\nanswer for canary-0123456789")
    assert capsys.readouterr().err == "headrace: bad\\x1b[2J answer for ***\n"


def test_a_traceback_only_when_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    monkeypatch.setattr(r, "_secrets", {"canary-0123456789"})
    try:
        raise RuntimeError("with canary-0123456789")
    except RuntimeError as error:
        r.report(error)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "canary" not in said


def test_another_process_s_traceback_is_cut_to_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    r.report(e.ConnectFailed("the server ended:\nTraceback (most recent call last):\n  File x\nOSError: no space\n"))
    assert capsys.readouterr().err == "headrace: the server ended: OSError: no space\n"


def test_an_interrupt_before_the_command_has_begun(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def command() -> int:
        return 0

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio.Runner, "run", interrupted)
    assert r.run(command()) == 130  # and nobody is told that a coroutine was never awaited
    gc.collect()
    assert capsys.readouterr().err == "headrace: interrupted\n"


def test_tracking_without_its_package_is_refused_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setattr("headrace.cli.stream.run", lambda coroutine: coroutine.close() or 99)
    assert r.main(["stream", "--local", "--video", str(tmp_path / "clip.mp4"), "--track"]) == 2
    assert capsys.readouterr().err == f"headrace: --track needs scipy: {install('track')}\n"


def test_an_input_is_told_by_its_name_and_not_by_an_id_that_the_library_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    r.warn_input("cat.jpg", e.InputError("the image is empty"))
    r.warn_input("", e.InputError("the input has 5 bytes; the limit is 4"))
    r.warn_input("cat.jpg", e.InputError("input house-1: mine"))
    r.report(e.InputError("the image is empty"))
    assert capsys.readouterr().err.splitlines() == [
        "headrace: cat.jpg: the image is empty",
        "headrace: the input has 5 bytes; the limit is 4",
        "headrace: cat.jpg: input house-1: mine",
        "headrace: the image is empty",
    ]


@pytest.mark.parametrize("wanted", ["1", "0"])
def test_uvloop_is_used_where_it_is_and_not_refused(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this system")
    monkeypatch.setenv("HEADRACE_UVLOOP", wanted)

    async def command() -> int:
        return int(isinstance(asyncio.get_running_loop(), uvloop.Loop))

    assert r.run(command()) == int(wanted)


def test_without_uvloop_it_runs_on_asyncios_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    async def command() -> int:
        return 7 if type(asyncio.get_running_loop()).__module__.startswith("asyncio") else 0

    assert r.run(command()) == 7
