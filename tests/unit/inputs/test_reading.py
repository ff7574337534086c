"""Reading files: all of it, once, into one piece of memory behind its head, whatever happens to the file meanwhile."""

from __future__ import annotations

import gzip
import io
import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.inputs.reading import PIECE, FileBuffer, TooLarge, View, file_size, plain_size

pytestmark = pytest.mark.core

MiB = 1 << 20
HEAD = b"head"
CONTENT = bytes(range(256)) * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(CONTENT)
    return made


def read(path: Path, size: int, most: int = MiB, head: bytes = HEAD) -> FileBuffer:
    buffer = FileBuffer(head, size)
    with path.open("rb", buffering=0) as file:
        buffer.read(file, most)
    return buffer


def test_a_file_lies_behind_its_head(path: Path) -> None:
    buffer = read(path, plain_size(os.stat(path)))
    assert buffer.payload == CONTENT
    assert buffer.message == HEAD + CONTENT


def test_without_a_head_the_payload_is_the_message(path: Path) -> None:
    buffer = read(path, plain_size(os.stat(path)), head=b"")
    assert buffer.payload is buffer.message
    assert buffer.payload == CONTENT


@pytest.mark.parametrize("believed", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, 2 * len(CONTENT)])
def test_a_file_of_another_size_is_read_whole(path: Path, believed: int) -> None:
    buffer = read(path, believed)
    assert buffer.payload == CONTENT
    assert buffer.message is None


@pytest.mark.parametrize("believed", [0, 10, 100])
def test_a_file_that_grows_over_the_limit_is_too_large(path: Path, believed: int) -> None:
    with pytest.raises(TooLarge) as caught:
        read(path, believed, most=100)
    assert caught.value.size is None


def test_a_file_that_is_empty_by_now_gives_nothing(path: Path) -> None:
    path.write_bytes(b"")
    assert read(path, 10).payload == b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(CONTENT * 1000,))
    writer.start()
    assert plain_size(os.stat(pipe)) == 0
    assert read(pipe, 0, most=10 * MiB).payload == CONTENT * 1000
    writer.join()


def test_the_memory_is_that_of_the_message(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(4 * MiB))
    tracemalloc.start()
    try:
        buffer = read(path, 4 * MiB, most=8 * MiB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MiB + PIECE / 8
    finally:
        tracemalloc.stop()
    assert buffer.message is not None


@pytest.mark.parametrize("buffering", [0, -1])
def test_an_open_file_is_read_from_where_it_is(path: Path, buffering: int) -> None:
    with path.open("rb", buffering=buffering) as file:
        assert file.read(7) == CONTENT[:7]
        size = file_size(file)
        assert size == len(CONTENT) - 7
        buffer = FileBuffer(HEAD, size)
        buffer.read(file)
        assert buffer.message == HEAD + CONTENT[7:]
        assert file_size(file) == 0


def test_what_is_no_file_of_the_system_tells_no_size(path: Path) -> None:
    assert file_size(io.BytesIO(CONTENT)) is None
    with gzip.open(path, "rb") as compressed:  # its descriptor is of another size
        assert file_size(compressed) is None


def test_a_closed_file_is_an_error(path: Path) -> None:
    with path.open("rb") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        file_size(file)


@given(
    st.binary(max_size=50),
    st.lists(st.tuples(st.sampled_from(["read", "set", "cur", "end"]), st.integers(-60, 60)), max_size=8),
)
def test_a_view_reads_like_a_file(content: bytes, steps: list[tuple[str, int]]) -> None:
    view, file = View(bytearray(content)), io.BytesIO(content)
    for what, number in steps:
        if what == "read":
            assert view.read(number if number >= 0 else -1) == file.read(number if number >= 0 else -1)
        elif what == "set":
            assert view.seek(max(0, number)) == file.seek(max(0, number))
        elif what == "cur":
            assert view.seek(number, os.SEEK_CUR) == file.seek(number, os.SEEK_CUR)
        else:
            assert view.seek(number, os.SEEK_END) == file.seek(number, os.SEEK_END)
        assert view.tell() == file.tell()
    assert view.readable()
    assert view.seekable()
