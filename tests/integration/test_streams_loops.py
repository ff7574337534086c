"""One client used from several event loops, threads and processes: it works, and says nothing on stderr."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, ClosedError
from headrace.channels import manager
from tests.support.child import ROOT, echo_child
from tests.support.rig import MODEL, WIRES, Wire, rigged

pytestmark = pytest.mark.core

HEAD = """
import asyncio, os, sys, threading
import headrace

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

SCRIPTS = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str) and name != "HEAD"
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_it_works_and_stderr_is_silent(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HEAD + textwrap.dedent(SCRIPTS[name]))
    async with echo_child(tmp_path / "s"):
        # Python 3.12 and later warn of every fork of a process that has threads, which gRPC's core has.
        quiet = "ignore:This process (pid=:DeprecationWarning"
        command = [sys.executable, "-W", quiet, str(script), f"unix:{tmp_path}/s"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)  # the server is elsewhere
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("wire", WIRES)
async def test_a_child_forked_in_the_middle_of_a_call_is_told_so(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rigged(wire, tmp_path) as rig:
        await rig.model.predict_by_bytes("text", "text")
        manager._before_fork()
        assert not manager._busy_at_fork
        with rig.double.holding():
            running = asyncio.ensure_future(rig.model.predict_by_bytes("text", "text"))
            await rig.double.received(2)
            manager._before_fork()
            assert manager._busy_at_fork == (wire == "grpc")  # the memory transport has nothing that a fork could break
        assert (await running).text == "text"
        # No real fork here: such a child is in gRPC's hands, which may crash it.
        monkeypatch.setattr(manager, "_core_is_lost", manager._busy_at_fork)
        transport: Any = rig.double if wire == "memory" else "auto"
        async with Client(base_url=rig.client.target.url, transport=transport) as client:
            if wire == "memory":
                await client.model(**MODEL).predict_by_bytes("text", "text")
                return
            with pytest.raises(ClosedError, match="spawn"):
                await client.model(**MODEL).predict_by_bytes("text", "text")
