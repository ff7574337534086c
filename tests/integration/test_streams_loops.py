"""One client used from several event loops, threads and processes: it works, and says nothing on stderr."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.transport.grpc import core, fork
from tests.support.child import ROOT, plain
from tests.support.rig import rigged

pytestmark = pytest.mark.core

HEAD = """
import asyncio, logging, os, sys, threading
import headrace

# Under asyncio's checks: that a step took long is the machine's affair.
logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing "))

def made():
    client = headrace.Client(base_url=sys.argv[1])
    return client, client.model(user_id="u", app_id="a", model_id="m")

async def use(model, n=20):
    assert (await model.predict_by_bytes("one", "text", timeout=10)).text == "one"
    assert await model.generate_by_bytes("two", "text", timeout=10).text() == "two"
    texts = [f"t{i}" for i in range(n)]
    async with model.stream_by_bytes(iter(texts), "text", timeout=10) as stream:
        assert [p.text async for p in stream] == texts
    assert [p.text async for p in model.map(texts, input_type="text", timeout=10)] == texts
"""

SECOND_LOOP = """
client, model = made()
for _ in range(3):
    asyncio.run(use(model))
asyncio.run(client.close())
"""

SECOND_LOOP_CLOSED_EACH_TIME = """
async def main():
    client, model = made()
    async with client:
        await use(model)
for _ in range(3):
    asyncio.run(main())
"""

THREADS = """
client, model = made()
failures = []
def work():
    try:
        for _ in range(3):
            asyncio.run(use(model))
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join(30)
assert not failures, failures
asyncio.run(client.close())
"""

THREAD_BESIDE_A_RUNNING_LOOP = """
client, model = made()
async def main():
    await use(model)
    await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(use(model))) for _ in range(4)), use(model))
    await use(model)
    await client.close()
asyncio.run(main())
"""

FORK = """
client, model = made()
asyncio.run(use(model))
pid = os.fork()
if pid == 0:
    asyncio.run(use(model))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
asyncio.run(use(model))
asyncio.run(client.close())
"""

FORK_AFTER_CLOSING = """
client, model = made()
async def main():
    async with client:
        await use(model)
asyncio.run(main())
pid = os.fork()
if pid == 0:
    client, model = made()
    asyncio.run(use(model))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""

FORKED_POOL = """
import multiprocessing
client, model = made()
asyncio.run(use(model))
def child(n):
    asyncio.run(use(model))
    return n
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(child, range(6), chunksize=1) == list(range(6))
asyncio.run(use(model))
asyncio.run(client.close())
"""

FORK_INSIDE_A_LOOP = """
client, model = made()
async def main():
    await use(model)
    pid = os.fork()
    if pid == 0:
        asyncio.run(use(model))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    await use(model)
    await client.close()
asyncio.run(main())
"""

FORK_WITH_A_LOOP_THAT_RESTS = """
client, model = made()
loop = asyncio.new_event_loop()
loop.run_until_complete(use(model))
pid = os.fork()
if pid == 0:
    asyncio.run(use(model))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
loop.run_until_complete(use(model))
loop.run_until_complete(client.close())
loop.close()
"""

FORK_WITH_ERRORS_AND_STREAMS_KEPT = """
client, model = made()
kept = []
async def main():
    await use(model)
    for timeout in (1e-6, 1e-4, 1e-3):
        try:
            kept.append(await model.predict_by_bytes("text", "text", timeout=timeout))
        except headrace.DeadlineExceeded as error:
            kept.append(error)
    elsewhere = headrace.Client(base_url=sys.argv[1] + "-not", retry=headrace.RetryPolicy(attempts=1))
    other = elsewhere.model(user_id="u", app_id="a", model_id="m")
    kept.append(await asyncio.gather(other.predict_by_bytes("text", "text"), return_exceptions=True))
    kept.append([p async for p in other.map(["a", "b"], input_type="text", on_error="yield")])
    await elsewhere.close()
    tokens = model.generate_by_bytes("text", "text")
    kept.extend([tokens, await tokens.text()])
    async with model.stream_by_bytes(iter("abc"), "text") as stream:
        kept.extend([stream, await anext(stream)])
asyncio.run(main())
pid = os.fork()
if pid == 0:
    asyncio.run(use(model))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
asyncio.run(use(model))
asyncio.run(client.close())
"""

FORK_AGAIN_AND_AGAIN = """
client, model = made()
for _ in range(5):
    asyncio.run(use(model, 2))
    pids = [os.fork() or os._exit(asyncio.run(use(model, 2)) or 7) for _ in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [7, 7]
asyncio.run(client.close())
"""

SPAWN = """
import multiprocessing
def child(address):
    sys.argv[1:] = [address]
    client, model = made()
    asyncio.run(use(model))
    asyncio.run(client.close())
if __name__ == "__main__":
    client, model = made()
    asyncio.run(use(model))
    process = multiprocessing.get_context("spawn").Process(target=child, args=(sys.argv[1],))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    asyncio.run(client.close())
"""

NEVER_CLOSED = """
client, model = made()
asyncio.run(use(model))
"""

EXIT_IN_THE_MIDDLE = """
async def main():
    client, model = made()
    async with model.stream_by_bytes(iter(str(i) for i in range(100000)), "text") as stream:
        async for p in stream:
            if p.position == 50:
                sys.exit(0)
asyncio.run(main())
"""

LEFT_TO_THE_LOOPS_END = """
async def main():
    client, model = made()
    tokens = model.generate_by_bytes("a", "text")
    stream = model.stream_by_bytes(iter(str(i) for i in range(100000)), "text")
    await anext(stream)
    asyncio.ensure_future(anext(tokens))
    keep.extend([tokens, stream])
keep = []
asyncio.run(main())
keep.clear()
"""

AN_ERROR_WITH_CALLS_OPEN = """
async def main():
    client, model = made()
    async with model.stream_by_bytes(iter("abc"), "text") as stream:
        await anext(stream)
        raise LookupError
for _ in range(3):
    try:
        asyncio.run(main())
    except LookupError:
        pass
"""

A_GENERATOR_OF_THE_USERS_LEFT_TO_THE_LOOPS_END = """
client, model = made()
async def answers():
    async with model.stream_by_bytes(iter(str(i) for i in range(100000)), "text") as stream:
        async for prediction in stream:
            yield prediction
async def main():
    keep.append(answers())
    await anext(keep[-1])
keep = []
for _ in range(3):
    asyncio.run(main())
"""

STILL_CONNECTING_AT_THE_LOOPS_END = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
client = headrace.Client(base_url="http://127.0.0.1:%d" % listener.getsockname()[1])
async def main():
    task = asyncio.ensure_future(client.model(user_id="u", app_id="a", model_id="m").predict("text", "text"))
    await asyncio.to_thread(lambda: listener.accept()[0].close())
    await asyncio.to_thread(lambda: keep.append(listener.accept()[0]))
keep = []
asyncio.run(main())
keep.pop().close()
listener.close()
"""

LOOPS_ENDED_BY_HAND = """
client, model = made()
for _ in range(3):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use(model))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
"""

CLOSED_AND_COLLECTED_IN_A_LOOP = """
import gc
async def main():
    for _ in range(3):
        client, model = made()
        await use(model)
        await client.close()
        del client, model
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}
asyncio.run(main())
"""

BLOCKING_AND_NEVER_CLOSED = """
from headrace import blocking
client = blocking.Client(base_url=sys.argv[1])
model = client.model(user_id="u", app_id="a", model_id="m")
for _ in range(3):
    assert model.predict("one", "text").text == "one"
"""

SCRIPTS = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str) and name != "HEAD"
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of an echo server that all scripts share."""
    address = f"unix:{tmp_path_factory.mktemp('echo')}/s"
    command = [sys.executable, "-m", "tests.support.child", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=plain()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield address
        process.kill()


def run(code: str, address: str, tmp_path: Path, *quiet: str) -> tuple[int, str]:
    """Run a script in Python's development mode; its exit code, and what it said on stderr.

    Args:
        quiet: warnings that are not printed, as `-W` takes them.
    """
    script = tmp_path / "script.py"
    script.write_text(HEAD + textwrap.dedent(code))
    # Python 3.12 and later warn of every fork of a process that has threads, which gRPC's core has.
    quiet = ("ignore:This process (pid=:DeprecationWarning", *quiet)
    command = [sys.executable, "-X", "dev", *(f"-W{warning}" for warning in quiet), str(script), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_works_and_stderr_is_silent(name: str, address: str, tmp_path: Path) -> None:
    code, said = run(SCRIPTS[name], address, tmp_path)
    assert said == ""
    assert code == 0


def test_a_loop_that_is_only_closed_leaves_asyncios_own_warning(address: str, tmp_path: Path) -> None:
    """Without `shutdown_asyncgens`, which `asyncio.run` calls, nobody hears that the loop is about to end."""
    script = """
    client, model = made()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use(model))
        loop.close()
    """
    code, said = run(script, address, tmp_path, "ignore:unclosed transport <_Sel:ResourceWarning")
    assert said == ""
    assert code == 0


# No real fork in these: such a child is in the hands of gRPC's own fork handlers, which may crash it.
AS_CHILD = """
from headrace.transport.grpc import fork
async def a_child_is_told():
    fork._before()
    fork._after_in_child()
    client, model = made()
    try:
        await model.predict_by_bytes("text", "text")
    except headrace.ClosedError as error:
        assert "spawn" in str(error)
    else:
        raise AssertionError("it was not told")
    fork._lost = False
    await client.close()
"""

IN_THE_MIDDLE_OF_A_CALL = """
async def main():
    client, model = made()
    more = asyncio.Event()
    async def source():
        yield "a"
        await more.wait()
        yield "b"
    async with model.stream_by_bytes(source(), "text") as stream:
        assert (await anext(stream)).text == "a"
        await a_child_is_told()
        more.set()
        assert (await anext(stream)).text == "b"
    await use(model)
    await client.close()
asyncio.run(main())
"""

BESIDE_ANOTHER_CHANNEL = """
from grpc import aio
async def main():
    client, model = made()
    await use(model)
    async with aio.insecure_channel(sys.argv[1]) as channel:
        await channel.channel_ready()
        await a_child_is_told()
    await use(model)
    await client.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("script", [IN_THE_MIDDLE_OF_A_CALL, BESIDE_ANOTHER_CHANNEL], ids=["call", "channel"])
def test_a_child_that_inherits_a_core_in_use_gets_an_error(
    script: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TRANSPORT", "grpc")
    code, said = run(AS_CHILD + script, address, tmp_path)
    assert said == ""
    assert code == 0


async def test_a_fork_in_the_middle_of_a_call_without_grpc_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "runs", lambda: False)  # another test may have left one
    async with rigged("memory", tmp_path) as rig:
        with rig.double.holding():
            running = asyncio.ensure_future(rig.model.predict_by_bytes("text", "text"))
            await rig.double.received(1)
            fork._before()
            fork._after_in_child()
        assert (await running).text == "text"
        assert not fork._lost
        assert (await rig.model.predict_by_bytes("text", "text")).text == "text"
