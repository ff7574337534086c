"""One bad line, cell, word or file of many fails alone on the command line, and an interrupt ends what waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Run

Stream = Callable[..., list[str | None]]
STREAM = [sys.executable, "-m", "headrace.cli", "stream", "--local", "--model_id", "echo"]
LONG = "x" * 300


@pytest.fixture
def stream(echo: Run) -> Stream:
    """Give a function that streams and gives the texts that come back, None for an error."""

    def run(content: bytes, *words: str, code: int | None = None) -> list[str | None]:
        result = echo("stream", "-o", "jsonl", *words, input=content)
        assert code is None or result.returncode == code, result.stderr
        assert all(len(line) < 600 for line in result.stderr.split("\n")), result.stderr
        return [text_of(json.loads(line)) for line in result.stdout.splitlines()]

    return run


def text_of(record: dict[str, Any]) -> str | None:
    return None if "error" in record else str(record["outputs"][0]["data"]["text"]["raw"])


#: name -> (what stdin or a list holds, the texts that come back, None for an error)
LINES: dict[str, tuple[bytes, list[str | None]]] = {
    "Latin-1": (b"one\ncaf\xe9\nthree\n", ["one", None, "three"]),
    "Latin-1 first": (b"caf\xe9\ntwo", [None, "two"]),
    "byte order mark": (b"\xef\xbb\xbffirst\nsecond\n", ["first", "second"]),
    "a mark elsewhere": (b"first\n\xef\xbb\xbfsecond\n", ["first", "\ufeffsecond"]),
    "long": (f"short\n{LONG}\nlast\n".encode(), ["short", LONG, "last"]),
    "long, Chinese": ("短\n".encode() + "字".encode() * 200 + b"\nlast\n", ["短", "字" * 200, "last"]),
    "very long": (b"short\n" + b"y" * 21_000_000 + b"\nlast\n", ["short", None, "last"]),
    "malformed URL": (b"one\nhttp://[::1/a.png\ntwo\nhttp://h:99999/\nthree", ["one", None, "two", None, "three"]),
    "home of nobody": (b"one\n~nobody is at home\ntwo", ["one", "~nobody is at home", "two"]),
    "missing file": (b"one\nmissing.txt\ntwo", ["one", None, "two"]),
    "NUL": (b"one\nno\0thing\ntwo", ["one", "no\0thing", "two"]),
    "Windows": (b"one\r\n\r\ntwo\r\n", ["one", "two"]),
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("way", ["stdin", "--from"])
def test_a_bad_line_fails_alone(tmp_path: Path, stream: Stream, name: str, way: str) -> None:
    content, texts = LINES[name]
    if way == "--from":
        (tmp_path / "list").write_bytes(content)
        found = stream(b"", "--from", "list")
    else:
        found = stream(content, "-")
    assert found == texts


@pytest.mark.parametrize("word", ["~nobody is at home", "http://[::1/a", LONG, "~" * 300, "a\udce9b"])
def test_a_word_is_never_a_crash(tmp_path: Path, word: str) -> None:
    for command in ("predict", "stream"):
        argv = [sys.executable, "-m", "headrace.cli", command, "--local", "--model_id", "echo", "-o", "text", word]
        result = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=120, check=False)
        assert result.returncode in (0, 1, 2), result.stderr
        assert b"fault" not in result.stderr
        assert b"Traceback" not in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_a_folder_is_left_out_and_one_that_is_named_is_read(tmp_path: Path, stream: Stream) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("good")
    os.mkfifo(folder / "b.txt")
    assert stream(b"", "folder", "folder/*.txt", code=0) == ["good", "good"]
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(folder / 'b.txt')!r}, 'w').write('from the pipe')"])
    found = stream(b"", "--input_type", "text", "--timeout", "60", "folder/b.txt", "folder/a.txt", code=0)
    assert writer.wait(10) == 0
    assert found == ["from the pipe", "good"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("words", [["pipe.txt"], ["--from", "pipe.txt"], ["-"]])
def test_an_interrupt_ends_what_waits(tmp_path: Path, words: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    reading, writing = os.pipe()
    process = subprocess.Popen([*STREAM, *words], cwd=tmp_path, stdin=reading, stderr=subprocess.PIPE)
    try:
        time.sleep(3)  # there is nothing to see of a process that waits
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - began < 4  # two seconds, on a machine with nothing else to do
        assert process.returncode == 130, said
        assert b"Traceback" not in said
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)
