"""The socket file's end: what a client made for its own server goes with it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest

from headrace.server.listen import listening
from headrace.server.options import Options


@pytest.mark.parametrize(
    ("name", "beside", "watch_stdin", "stays"),
    [
        ("headrace-1a2b", None, True, False),
        ("headrace-1a2b", "notes.txt", True, True),
        ("headrace-1a2b", None, False, True),  # a user's own server, in a folder that may be a user's own
        ("sockets", None, True, True),
    ],
)
async def test_the_folder_of_a_clients_own_server_goes_when_it_is_empty(
    tmp_path: Path, name: str, beside: str | None, watch_stdin: bool, stays: bool
) -> None:
    folder = tmp_path / name
    server = grpc.aio.server()
    with listening(server, Options(unix=folder / "s", watch_stdin=watch_stdin)) as address:
        assert address == f"unix:{folder / 's'}"
        assert (folder / "s").is_socket()
        await server.start()
        if beside is not None:
            (folder / beside).write_text("kept")
        await server.stop(None)
    assert folder.exists() == stays
    assert not (folder / "s").exists()
    assert tmp_path.exists()
