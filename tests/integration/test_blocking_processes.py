"""Blocking clients and the process around them: its end, its forks, and the interrupt key."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.child import ROOT, plain

HEAD = """
import gc, itertools, os, signal, sys, threading, time
import headrace
from headrace.blocking import Client, Model, thread

address = sys.argv[1]
transport = sys.argv[2] if len(sys.argv) > 2 else "grpc"

def made():
    client = Client(base_url=address, transport=transport)
    return client, client.model("u/a/models/m")

def use(model, count=1):
    for _ in range(count):
        assert model.predict("text", "text").text == "text"
        assert [p.text for p in model.stream(iter("abc"), "text")] == ["a", "b", "c"]

def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 7
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 7, code
"""

SCRIPTS = {
    "nothing closed": """
client, model = made()
use(model)
""",
    "a stream left open": """
client, model = made()
stream = model.stream(map(str, itertools.count()), "text")
next(stream)
""",
    "a source that hangs": """
client, model = made()
def source():
    yield "a"
    time.sleep(1000)
stream = model.stream(source(), "text", window=1)
next(stream)
""",
    "a thread that waits": """
client, model = made()
def work():
    for _ in model.stream(iter(lambda: time.sleep(1000), 1), "text"):
        pass
threading.Thread(target=work, daemon=True).start()
use(model)
""",
    "a thread that works": """
client, model = made()
def work():
    while True:
        use(model)
threading.Thread(target=work, daemon=True).start()
use(model)
""",
    "an error that nobody caught in a thread": """
client, model = made()
use(model)
stream = model.stream(map(str, itertools.count()), "text")
next(stream)
sys.exit(0)
""",
    "a cycle that holds a stream": """
class Holder: pass
client, model = made()
holder = Holder()
holder.itself = holder
holder.stream = model.stream(map(str, itertools.count()), "text")
next(holder.stream)
""",
    "closing at exit": """
import atexit
client, model = made()
atexit.register(client.close)
use(model)
""",
    "no call": """
client, model = made()
""",
    "an embedded server": """
client = Client.local(models=["echo"])
assert client.model(model_id="echo").predict("hello", "text").text == "hello"
print(client._wrapped._local.pid)
""",
    "fork": """
client, model = made()
use(model)
in_child(lambda: use(model))
use(model)
client.close()
""",
    "fork before the first call": """
client, model = made()
in_child(lambda: (use(model), client.close()))
use(model)
""",
    "fork in another thread": """
client, model = made()
use(model)
one = threading.Thread(target=in_child, args=[lambda: use(model)])
one.start(); one.join()
use(model)
""",
    "a child that only closes": """
client, model = made()
use(model)
in_child(client.close)
use(model)
""",
    "a child that forgets": """
client, model = made()
use(model)
def forget():
    global client, model
    del client, model
    gc.collect()
in_child(forget)
use(model)
""",
    "a child that ends as programs do": """
client, model = made()
use(model)
pid = os.fork()
if pid == 0:
    use(model)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
use(model)
""",
    "a pool": """
import multiprocessing
client, model = made()
use(model)
def child(n):
    use(model)
    return n
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(child, range(6), chunksize=1) == list(range(6))
use(model)
""",
    "a stream of the parent": """
client, model = made()
stream = model.stream(["a"], "text")
def read():
    for read in (lambda: next(stream), lambda: stream.__enter__()):
        try:
            read()
        except headrace.ClosedError as error:
            assert "forked" in str(error)
        else:
            raise AssertionError
    stream.close()
in_child(read)
assert [p.text for p in stream] == ["a"]
""",
    "a grandchild": """
client, model = made()
use(model)
in_child(lambda: (use(model), in_child(lambda: use(model)), use(model)))
use(model)
""",
    "the embedded server of the parent": """
client = Client.local(models=["echo"])
model = client.model(model_id="echo")
use(model)
in_child(lambda: (use(model), client.close()))
use(model)
client.close()
""",
    "a fork while the loop is busy": """
thread.FORK_SECONDS = 0.05
client = Client(base_url="http://127.0.0.1:1", transport="h2")  # gRPC says that it was in use
busy = threading.Event()
try:
    client.model("u/a/models/m").predict("x", "text", timeout=0.2)
except headrace.HeadraceError:
    pass
thread.current().post(lambda: (busy.set(), time.sleep(0.3)))
busy.wait()
in_child(lambda: None)
use(made()[1])
""",
    "a call after the end": """
import atexit
def late():
    try:
        model.predict("x", "text")
    except headrace.ClosedError:
        print("told")
atexit._clear()
atexit.register(late)
atexit.register(thread._at_exit)
client, model = made()
use(model)
""",
}

#: Those that choose their transport themselves, or none.
ONCE = {"no call", "an embedded server", "the embedded server of the parent"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"unix:{tmp_path_factory.mktemp('server')}/s"
    command = [sys.executable, "-m", "tests.support.child", address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=plain()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield address
        process.kill()


def script(code: str, tmp_path: Path, *arguments: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(HEAD + textwrap.dedent(code))
    # Python 3.12 and later warn of every fork of a process that has threads.
    return [sys.executable, "-W", "ignore:This process (pid=:DeprecationWarning", str(path), *arguments]


@pytest.mark.parametrize(
    ("name", "transport"),
    [(name, transport) for name in SCRIPTS for transport in ("grpc", "h2") if transport == "grpc" or name not in ONCE],
)
def test_it_works_ends_in_time_and_says_nothing(name: str, transport: str, address: str, tmp_path: Path) -> None:
    command = script(SCRIPTS[name], tmp_path, address, transport)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stderr == ""
    assert done.returncode == 0
    if name == "a call after the end":
        assert done.stdout == "told\n"
    if name == "an embedded server":
        assert not Path(f"/proc/{done.stdout.strip()}").exists()


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it
client, model = made()
class Waiting:
    def __iter__(self):
        return self
    def __next__(self):
        print("waiting", flush=True)
        time.sleep(1000)
use(model)
{call}
"""


@pytest.mark.parametrize("transport", ["grpc", "h2"])
@pytest.mark.parametrize(
    "call",
    [
        "list(model.stream(Waiting(), 'text'))",
        "with client, model.stream(Waiting(), 'text') as stream: next(stream)",
        "for _ in model.map(Waiting(), input_type='text'): pass",
        "list(model.stream_frames(Waiting()))",
    ],
)
def test_the_interrupt_key_ends_a_program_that_waits(call: str, transport: str, address: str, tmp_path: Path) -> None:
    command = script(INTERRUPTED.format(call=call), tmp_path, address, transport)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGINT, 130)
        assert said.startswith("Traceback")
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert "During handling" not in said
        assert time.monotonic() - started < 30
