"""The embedded server, a place to fetch pictures from, and the official packages, each where it can be had."""

from __future__ import annotations

import contextlib
import functools
import http.server
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme

import headrace
from headrace.server import weights
from headrace.server.models._llama import SMOLLM2
from tests.interop import install

HERE = Path(__file__).parent
SAMPLES = Path(headrace.__file__).parent / "data" / "samples"
REQUIRE = "HEADRACE_REQUIRE"  # names, with commas, of what must be there: a missing one fails instead of skipping
SECONDS = 200.0  # for one driver
WARMING = """
[[rule]]
model = "shout"
method = "predict"
calls = 1
code = 21351

[[rule]]
model = "typed"
method = "predict"
calls = 1
code = 21351
"""


def needed(name: str, make: Callable[[], Path]) -> Path:
    """Give an official package's place; without it skip, or fail where HEADRACE_REQUIRE names it."""
    try:
        return make()
    except install.Missing as reason:
        absent(name, str(reason))


def needed_module(name: str) -> None:
    """See that a module of an official package can be imported here; without it skip or fail in the same way."""
    if importlib.util.find_spec(name) is None:
        absent(name, f"{name} is not installed")


def absent(name: str, why: str) -> NoReturn:
    """Skip, or fail where HEADRACE_REQUIRE names it."""
    if name in os.environ.get(REQUIRE, "").split(","):
        pytest.fail(f"{name} is required: {why}", pytrace=False)
    pytest.skip(f"{name}: {why}")


@pytest.fixture(scope="session")
def clarifai_python() -> Path:
    """The Python that has the official SDK."""
    return needed("clarifai", install.clarifai)


@pytest.fixture(scope="session")
def clarifai_node() -> Path:
    """The folder whose node_modules has the official SDK."""
    return needed("node", install.node)


def _serve(*arguments: str) -> contextlib.AbstractContextManager[str]:
    """Run the embedded server as a process of its own; gives its address."""
    return started([sys.executable, "-m", "headrace.server", "--watch-stdin", *arguments])


def _own(*names: str) -> list[str]:
    return [f"{HERE / 'served.py'}:{name}" for name in names]


@pytest.fixture(scope="package")
def server() -> Iterator[str]:
    """A server with all built-in models and those of these tests."""
    with _serve("--allow-private-urls", *_own("Typed", "Shout", "Sizes")) as address:
        yield address


@pytest.fixture(scope="package")
def settings(server: str, files: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What drivers are told: the servers' addresses, where the samples are, which models there are."""
    folder = tmp_path_factory.mktemp("interop")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    mine = ca.issue_cert("localhost", "127.0.0.1")
    mine.private_key_pem.write_to_path(str(folder / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    (folder / "warming.toml").write_text(WARMING)
    with contextlib.ExitStack() as stack:
        only = stack.enter_context(_serve("--models", "none", *_own("Typed")))
        tls = ("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"), "--require-pat", "right")
        guarded = stack.enter_context(_serve(*tls, "--models", "none", *_own("Shout", "Typed")))
        scripted = ("--faults", str(folder / "warming.toml"), "--models", "none")
        warming = stack.enter_context(_serve(*scripted, *_own("Typed", "Shout")))
        yield {
            "base": server,
            "only": only,
            "guarded": guarded.replace("127.0.0.1", "localhost"),
            "ca": str(folder / "ca.pem"),
            "warming": warming,
            "files": files,
            "samples": str(SAMPLES),
            "llm": "yes" if any(one.path and one.weight.name == SMOLLM2 for one in weights.status()) else "",
        }


@pytest.fixture(scope="package")
def ports(
    clarifai_python: Path, outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """The port of the official model server for each of its models."""
    env = outside.environment(tmp_path_factory.mktemp("home"), "http://127.0.0.1:1")
    with started([str(clarifai_python), str(HERE / "drivers" / "runner.py")], env) as line:
        yield json.loads(line)


@contextlib.contextmanager
def started(command: list[str], env: dict[str, str] | None = None) -> Iterator[str]:
    """Run a server that prints its address when it is ready and ends with its stdin; gives the address."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        assert line, f"{command} did not start"
        yield line.removeprefix("listening on ")
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="package")
def files() -> Iterator[str]:
    """The samples over HTTP on this machine: the folder's URL."""
    handler = functools.partial(_Quiet, directory=str(SAMPLES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), name="interop-files")
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


@dataclass
class Outside:
    """Stands in for the rest of the world: refuses every connection, and keeps what was asked for."""

    port: int
    asked: list[str] = field(default_factory=list)

    def environment(self, home: Path, base: str) -> dict[str, str]:
        """Give a child's environment: nothing of ours, and this proxy for whatever isn't on this machine."""
        proxy = f"http://127.0.0.1:{self.port}"
        names = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **dict.fromkeys(names, proxy),
            "no_proxy": "127.0.0.1,localhost",
            "no_grpc_proxy": "127.0.0.1,localhost",
            "CLARIFAI_API_BASE": base,
            "CLARIFAI_PAT": "not-a-credential",
            "CLARIFAI_USER_ID": "headrace",
        }


@pytest.fixture(scope="package")
def outside() -> Iterator[Outside]:
    """A proxy that lets nothing through; at the end of each suite nobody may have asked it for anything."""
    with nowhere() as found:
        yield found


@contextlib.contextmanager
def nowhere() -> Iterator[Outside]:
    """Run a proxy that lets nothing through."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Outside(listening.getsockname()[1])

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(1)
                    line = connection.recv(4096).partition(b"\r\n")[0].decode("latin-1")
                    if line == "end":
                        return
                    found.asked.append(line)
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse, name="interop-outside")
        thread.start()
        try:
            yield found
        finally:
            with socket.create_connection(("127.0.0.1", found.port)) as last:
                last.sendall(b"end\r\n")
            thread.join()


@dataclass(frozen=True)
class Outcome:
    """What a step of a driver gave: a value, or an error as text."""

    value: Any
    error: str | None

    def must(self) -> Any:
        """Give the value; an error fails the test."""
        assert self.error is None, self.error
        return self.value


Outcomes = Callable[[str], Outcome]


def drive(command: list[str], env: dict[str, str], settings: dict[str, str], cwd: Path | None = None) -> Outcomes:
    """Run a driver, which prints a JSON object a step, and give what finds a step's outcome."""
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        input=json.dumps(settings),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    steps: dict[str, Outcome] = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"step"'):
            step = json.loads(line)
            steps[step["step"]] = Outcome(step.get("value"), step.get("error"))

    def outcome(name: str) -> Outcome:
        assert name in steps, f"the driver never came to {name}; its last words: {done.stderr[-2000:]}"
        return steps[name]

    return outcome
