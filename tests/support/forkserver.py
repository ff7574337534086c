"""Commands in real processes without the cost of starting Python and importing the command line for each of them.

A server process imports the command line once and forks itself for every command. The command has its own process,
descriptors, environment and folder, as if a shell had started it. gRPC is imported but not started in the server, so a
forked command can use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ForkServer:
    """Runs commands by asking the server process; made by `serving`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def run(
        self, argv: Sequence[str], *, stdin: bytes | None, environment: Mapping[str, str], folder: Path, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `headrace ARGV` to its end; `stdin` None is the null device.

        Raises:
            subprocess.TimeoutExpired: it took longer than `timeout` seconds and was killed.
        """
        with (
            contextlib.closing(socket.socket(socket.AF_UNIX)) as connection,
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            connection.connect(self.address)
            connection.settimeout(timeout)
            given.write(stdin or b"")
            given.seek(0)
            order = json.dumps([list(argv), dict(environment), str(folder)]).encode()
            with open(os.devnull, "rb") as null:
                first = null if stdin is None else given
                socket.send_fds(connection, [len(order).to_bytes(4, "big")], [f.fileno() for f in (first, out, err)])
                connection.sendall(order)
            answers = connection.makefile()
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(argv), timeout) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(list(argv), code, out.read(), err.read())


@contextlib.contextmanager
def serving() -> Iterator[ForkServer]:
    """Run the server process."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/forks"
        environment = {**os.environ, "GRPC_VERBOSITY": "NONE"}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.forkserver", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                assert process.stdout.readline() == b"ready\n"
                yield ForkServer(address)
            finally:
                process.stdin.close()
                process.kill()


def _serve(address: str) -> None:
    import grpc.aio  # noqa: F401

    import headrace.cli.app
    import headrace.cli.run
    import headrace.client
    import headrace.model
    import headrace.transport.grpc.client  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)  # noqa: T201
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # it ends with the tests
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _attend(connection)


def _attend(connection: socket.socket) -> None:
    """Run one command in a child and report its process id and exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    order = b""
    while len(order) < int.from_bytes(size, "big"):
        order += connection.recv(1 << 16)
    argv, environment, folder = json.loads(order)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(argv, environment, folder, descriptors)
    connection.sendall(f"{pid}\n".encode())
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:  # whoever asked has gone
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(argv: list[str], environment: dict[str, str], folder: str, descriptors: list[int]) -> None:
    """Be the command: as after `exec`, except that the modules are imported already."""
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["headrace", *argv]
    code = 1
    try:
        from headrace.cli import main

        code = main(argv)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
