"""The socket file's end: what a client made for its own server goes with it, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from headrace.server.listen import ListenAddress
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
    place = ListenAddress(Options(unix=folder / "s", watch_stdin=watch_stdin))
    assert place.bind(server) == f"unix:{folder / 's'}"
    assert (folder / "s").is_socket()
    await server.start()
    if beside is not None:
        (folder / beside).write_text("kept")
    await server.stop(None)
    place.leave()
    assert folder.exists() == stays
    assert not (folder / "s").exists()
    assert tmp_path.exists()


@pytest.mark.parametrize("name", ["my%20tmp", "a#b", "two words", "q?x=1", "ü", "x" * 20])
async def test_a_socket_file_may_have_any_name_and_be_bound_again(tmp_path: Path, name: str) -> None:
    place = ListenAddress(Options(unix=tmp_path / name))
    servers = [grpc.aio.server(), grpc.aio.server()]
    for server in servers:
        place.bind(server)
        await server.start()
    await servers[0].stop(None)  # it must not take the second one's file along
    assert [path.name for path in tmp_path.iterdir()] == [name]
    _, writer = await asyncio.open_unix_connection(tmp_path / name)
    writer.close()
    await servers[1].stop(None)
    place.leave()
    assert not list(tmp_path.iterdir())
