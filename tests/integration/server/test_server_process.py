"""`python -m headrace.server` as a process: its one line, its ends, its socket file, what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import h2.config
import h2.connection
import pytest
import trustme

from headrace.server.app import main
from headrace.v2 import service_pb2 as pb

PREDICT = "/clarifai.api.V2/PostModelOutputs"


class Process:
    """A server process that is killed at the latest when the test ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Wait for the line that says it is ready."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode().rstrip("\n")

    async def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Send a signal, wait for the end: exit code, the rest of stdout, stderr."""
        if number is not None:
            self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), 15)
        return self.process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Any]:
    """Give a function that starts a server process in the test's folder."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*arguments: str | Path, **options: Any) -> Process:
        pipe = asyncio.subprocess.PIPE
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **options.pop("env", {})}
        command = options.pop("command", ["headrace.server"])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, *map(str, arguments),
            stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path, env=env, **options,
        )  # fmt: skip
        started.append(process)
        return Process(process)

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def predict(target: str, channel: grpc.aio.Channel | None = None, **options: Any) -> pb.MultiOutputResponse:
    async with channel or grpc.aio.insecure_channel(target) as open_channel:
        call = open_channel.unary_unary(
            PREDICT, pb.PostModelOutputsRequest.SerializeToString, pb.MultiOutputResponse.FromString
        )
        request = pb.PostModelOutputsRequest(model_id=options.pop("model", "echo"))
        request.inputs.add().data.text.raw = "hello"
        response: pb.MultiOutputResponse = await call(request, timeout=10, **options)
        return response


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_one_line_serves_and_stops_cleanly(start: Any, number: signal.Signals) -> None:
    server = await start("--models", "echo")
    line = await server.line()
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+", line)
    assert (await predict(line.rpartition("/")[2])).outputs[0].data.text.raw == "hello"
    assert await server.end(number) == (0, "", "")


async def test_the_command_line_serves_the_same(start: Any) -> None:
    server = await start("--models", "echo", command=["headrace.cli", "serve"])
    assert (await predict((await server.line()).rpartition("/")[2])).status.code == 10000
    assert await server.end(signal.SIGINT) == (0, "", "")
    code, out, err = await (await start("--models", "nope", command=["headrace.cli", "serve"])).end()
    assert (code, out) == (2, "")
    assert err.startswith("headrace serve: error: there is no built-in model 'nope'")


async def test_it_stops_within_a_second_whatever_its_model_does(start: Any, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import time\n"
        "class Stubborn:\n"
        "    def predict(self, item):\n"
        "        print('in', flush=True)\n"
        "        time.sleep(60)\n"
    )
    server = await start("stubborn.py:Stubborn", "--models", "none")
    line = await server.line()
    call = asyncio.create_task(predict(line.rpartition("/")[2], model="stubborn"))
    assert await server.line() == "in"
    before = asyncio.get_running_loop().time()
    code, _, err = await server.end(signal.SIGTERM)
    took = asyncio.get_running_loop().time() - before
    assert (code, err) == (0, "")
    assert took < 2.0  # 1 s, and a busy machine
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_it_ends_with_its_parent_when_asked_to_watch_stdin(start: Any) -> None:
    server = await start("--models", "echo", "--watch-stdin")
    await server.line()
    server.process.stdin.close()
    assert await server.end() == (0, "", "")


async def test_without_the_flag_a_closed_stdin_means_nothing(start: Any) -> None:
    server = await start("--models", "echo")
    line = await server.line()
    server.process.stdin.close()
    assert (await predict(line.rpartition("/")[2])).status.code == 10000


#: Starts the server as `python -m headrace.server` does, but gives up its address soon.
IMPATIENT = """
import sys
from headrace.server import keeper
from headrace.server.__main__ import run
keeper.TRY_SECONDS = 0.2
sys.exit(run())
"""


async def test_a_server_that_cannot_listen_any_more_ends_with_a_line_and_an_exit_code(
    start: Any, tmp_path: Path
) -> None:
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    path = tmp_path / "new" / "s"
    server = await start("--models", "echo", "--unix", path, command=["impatient"])
    await server.line()
    _reader, writer = await asyncio.open_unix_connection(path)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file where the folder was")
    writer.write(request_that_ends_the_listener())
    code, out, err = await server.end()
    assert (code, out) == (2, "")
    assert re.search(r"listening on unix:.* again\n.*error: the server ended, and cannot listen on unix:.*\n$", err)
    writer.close()


def request_that_ends_the_listener() -> bytes:
    """Make an HTTP/2 request whose path is not UTF-8, which gRPC's own loop does not survive."""
    config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    fields = {":method": b"POST", ":scheme": b"http", ":path": b"/\xff", ":authority": b"x"}
    grpc = {"te": b"trailers", "content-type": b"application/grpc"}
    connection.send_headers(1, [(name.encode(), value) for name, value in {**fields, **grpc}.items()])
    return connection.data_to_send()


async def test_a_socket_file_is_private_and_removed_at_the_end(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "s"
    server = await start("--models", "echo", "--unix", path)
    assert await server.line() == f"listening on unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await predict(f"unix:{path}")).status.code == 10000
    assert await server.end(signal.SIGTERM) == (0, "", "")
    assert not path.exists()


async def test_the_socket_of_a_dead_server_is_replaced(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = await start("--models", "echo", "--unix", path)
    await dead.line()
    dead.process.kill()
    await dead.end()
    assert path.exists()
    server = await start("--models", "echo", "--unix", path)
    assert await server.line() == f"listening on unix:{path}"
    assert (await predict(f"unix:{path}")).status.code == 10000


async def test_the_socket_of_a_living_server_is_left_alone(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = await start("--models", "echo", "--unix", path)
    await first.line()
    second = await start("--models", "echo", "--unix", path)
    code, out, err = await second.end()
    assert (code, out) == (2, "")
    assert re.fullmatch(rf".*another server listens on unix:{path}\n", err)
    assert (await predict(f"unix:{path}")).status.code == 10000


async def test_a_port_in_use_is_one_clear_line(start: Any) -> None:
    first = await start("--models", "echo")
    port = (await first.line()).rpartition(":")[2]
    code, out, err = await (await start("--models", "echo", "--port", port)).end()
    assert (code, out) == (2, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in err
    assert len(err.splitlines()) == 1


BAD_MODULES = {
    "no_method.py": ("class M:\n    pass\n", "M has no method predict, generate or stream"),
    "raises.py": ("\nraise ValueError('on import')\n", "ValueError: on import (line 2 of raises.py)"),
    "syntax.py": ("x = 1\nclass M(:\n", "SyntaxError: invalid syntax (syntax.py, line 2)"),
    "tabs.py": ("if 1:\n    a = 1\n\tb = 2\n", "(tabs.py, line 3)"),
    "null.py": ("x = '\0'\n", "null bytes"),
    "beside.py": ("from syntax_of_mine import x\n", "(syntax_of_mine.py, line 3)"),
    "deep.py": ("import json\njson.loads('{')\n", "JSONDecodeError"),
    "missing_import.py": ("\n\nimport nothing_like_it\n", "'nothing_like_it' (line 3 of missing_import.py)"),
    "exits.py": ("import sys\nsys.exit('later')\n", "SystemExit: later (line 2 of exits.py)"),
    "long.py": ("raise ValueError('x' * 100_000)\n", "(line 1 of long.py)"),
    "arguments.py": ("class M:\n    def predict(self):\n        return 1\n", "M.predict must take one argument"),
    "yields.py": ("class M:\n    def predict(self, item):\n        yield 1\n", "is named generate"),
    "card.py": ("class M:\n    card = 3\n    def predict(self, item):\n        return 1\n", "M.card must be a"),
}


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the server's main in this process, where it ends by itself: exit code, stdout, stderr."""
    try:
        code = main(arguments)
    except SystemExit as exit:
        code = int(exit.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in the test's folder; what users' modules do to the import path is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("name", BAD_MODULES)
def test_a_class_that_cannot_be_a_model_is_one_clear_line(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    source, message = BAD_MODULES[name]
    (here / name).write_text(source)
    (here / "syntax_of_mine.py").write_text("\n\nx = = 1\n")
    code, out, err = ended(capsys, f"{name}:M", "--models", "none")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert len(err) < 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nope"], "there is no built-in model 'nope'"),
        (["missing.py:M"], "missing.py is not a file"),
        (["no.such.module:M"], "ModuleNotFoundError"),
        (["--host", "0.0.0.0"], "--require-pat"),
        (["--host", "0.0.0.0", "--require-pat", "x"], "--tls-cert"),
        (["--port", "70000"], "70000"),
        (["--port", "1", "--unix", "x"], "exclude"),
        (["--tls-cert", "a.pem"], "belong together"),
        (["--faults", "missing.toml"], "missing.toml is not a file"),
        (["--unix", "/" + "x" * 120], "longer than"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = ended(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


async def test_wrong_usage_of_the_process_is_one_line_too(start: Any) -> None:
    code, out, err = await (await start("--models", "nope")).end()
    assert (code, out) == (2, "")
    assert re.fullmatch(r"python -m headrace\.server: error: there is no built-in model 'nope'.*\n", err)


async def test_users_models_come_from_files_and_packages(start: Any, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("MARK = '!'\n")
    (tmp_path / "one.py").write_text(
        "from helper import MARK\nclass Shout:\n    def predict(self, item):\n        return item.text.upper() + MARK\n"
    )
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "two.py").write_text("class Two:\n    async def predict(self, item):\n        return '2'\n")
    server = await start("one.py", "package.two:Two", "--models", "echo")
    target = (await server.line()).rpartition("/")[2]
    assert (await predict(target, model="shout")).outputs[0].data.text.raw == "HELLO!"
    assert (await predict(target, model="two")).outputs[0].data.text.raw == "2"


async def test_the_examples_of_the_documentation_run(start: Any, tmp_path: Path) -> None:
    page = Path(__file__).parents[3].joinpath("docs", "server.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL))
    assert set(examples) == {"shout.py", "sums.py"}
    for name, source in examples.items():
        (tmp_path / name).write_text(source)
    server = await start("shout.py:Shout", "sums.py:Sums", "--models", "none")
    target = (await server.line()).rpartition("/")[2]
    assert (await predict(target, model="shout")).outputs[0].data.text.raw == "HELLO"
    assert (await predict(target, model="sums")).outputs[0].data.text.raw == "hello hello"


async def test_tls_and_a_credential_together_may_be_public(start: Any, tmp_path: Path) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    with (tmp_path / "cert.pem").open("wb") as file:
        for blob in issued.cert_chain_pems:
            file.write(blob.bytes())
    arguments = ["--host", "0.0.0.0", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--models", "echo"]
    server = await start(*arguments, env={"HEADRACE_SERVER_PAT": "s3cret"})
    line = await server.line()
    assert re.fullmatch(r"listening on https://0\.0\.0\.0:\d+", line)
    target = f"localhost:{line.rpartition(':')[2]}"
    credentials = grpc.ssl_channel_credentials(ca.cert_pem.bytes())
    refused = await predict(target, grpc.aio.secure_channel(target, credentials))
    assert refused.status.code == 11008
    channel = grpc.aio.secure_channel(target, credentials)
    answer = await predict(target, channel, metadata=(("authorization", "Key s3cret"),))
    assert answer.outputs[0].data.text.raw == "hello"
    with pytest.raises(grpc.aio.AioRpcError):
        await predict(target)


async def test_weight_progress_is_json_for_a_parent_and_words_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    from headrace.server.progress import Reporter, Stopped

    machine, people = Reporter(machine=True), Reporter(machine=False)
    machine("llm", 0, 100)
    machine("llm", 1, 100)  # too soon after the last
    machine("llm", 100, 100)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "weights", "name": "llm", "done": 0, "total": 100},
        {"event": "weights", "name": "llm", "done": 100, "total": 100},
    ]
    people("llm", 50_000_000, 100_000_000)
    assert capsys.readouterr().err == "headrace: fetching llm: 50% of 100 MB\n"
    people.stop()
    with contextlib.suppress(Stopped):
        people("llm", 60_000_000, 100_000_000)
        pytest.fail("a download must end with the server")
