"""The documents' fenced blocks, and a reader who pastes them one after the other into an empty folder.

| block | what the reader does |
|---|---|
| `python` with `asyncio.run(` or `asyncio.Runner(` | runs it as a program |
| `python` whose first line is `# NAME.py`, `toml` with `# NAME.toml` | saves it; runs it if it is a program |
| other `python` | pastes it into one prompt that knows `await`, as `python -m asyncio` and notebooks do |
| `bash` | pastes it into a shell; every command has to succeed |
| `console` | runs each `$` line and compares what is printed; `...` stands for anything |
| `text` right below a `python` block | compares it with what the block printed; looks at others |

A block that is nothing but `headrace serve ...`, `headrace proxy ...` or `python -m uvicorn ...` runs until the end of
the page.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import headrace
from tests.support.forkserver import ForkServer

ROOT = Path(__file__).parents[2]
SECONDS = 200.0
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"\basyncio\.(run|Runner)\(")
_FILE = re.compile(r"# ([\w-]+\.\w+)\n")
_SERVE = re.compile(r"(?:headrace (?:serve|proxy)|python -m uvicorn)\b[^|;&\n]*")

#: Commands go to the process of `forks`, which has imported the command line already.
_SHIM = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
order = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
server.sendall(order)
answers = server.makefile()
pid = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
code = int(answers.readline())
sys.exit(code if code >= 0 else 128 - code)
"""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `printed` is the text block right below it."""

    page: str
    line: int
    language: str
    text: str
    printed: str | None = None

    @property
    def name(self) -> str | None:
        """The file that its first line names."""
        first = _FILE.match(self.text)
        return first[1] if first else None

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def blocks(page: Path) -> list[Block]:
    """Cut out a page's blocks, in order."""
    text = page.read_text(encoding="utf-8")
    result: list[Block] = []
    end = -1
    for fence in _FENCE.finditer(text):
        if fence["text"].lstrip().startswith("--8<--"):  # a whole file, which has tests of its own
            continue
        indent = len(fence["indent"])
        content = "".join(line[indent:] or "\n" for line in fence["text"].splitlines(keepends=True))
        if fence["language"] == "text" and fence.start() == end + 1:
            last = result.pop()
            result.append(Block(last.page, last.line, last.language, last.text, content))
        else:
            line = text.count("\n", 0, fence.start()) + 2
            result.append(Block(page.relative_to(ROOT).as_posix(), line, fence["language"], content))
        end = fence.end()
    return result


class Reader:
    """Runs a page's blocks in one folder.

    Args:
        folder: an empty one.
        environment: of commands and programs.
        forks: runs `headrace` commands.
        replaced: words of the page that are another here, such as a port that may be taken.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], forks: ForkServer, replaced: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._replaced = replaced
        self._names: dict[str, Any] = {"__name__": "__main__"}
        tools = folder.parent / f"{folder.name}-tools"
        tools.mkdir()
        shim = tools / "headrace"
        shim.write_text(_SHIM.format(python=sys.executable, address=forks.address), encoding="utf-8")
        shim.chmod(0o700)
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), environment["PATH"]])
        self._environment = {**environment, "PATH": path, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
        self._servers: list[asyncio.subprocess.Process] = []

    async def read(self, block: Block) -> None:
        """Do with a block what its readers would; AssertionError where it does not do what the page says."""
        text = block.text
        for word, other in self._replaced.items():
            text = text.replace(word, other)
        if block.name:
            (self._folder / block.name).write_text(text, encoding="utf-8")
        if block.language == "python":
            await self._python(block, text)
        elif block.language == "bash":
            if _SERVE.fullmatch(text.strip()):
                await self._serve(text.strip(), "...")
            else:
                await self._shell(block, "set -eo pipefail\n" + text)
        elif block.language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                if _SERVE.fullmatch(command):
                    await self._serve(command, printed or "listening on ...")
                else:
                    out, err = await self._shell(block, command, may_fail=True)
                    assert matches(printed, out or err), f"{block}: $ {command}\n{out}{err}"
        elif block.language == "toml":
            if not block.name:
                (self._folder / "block.toml").write_text(text, encoding="utf-8")
            await self._serve(f"headrace serve --models echo --faults {block.name or 'block.toml'}", "listening on ...")
        elif block.language not in ("text", ""):  # a drawing, or what something looks like
            raise AssertionError(f"{block}: nobody knows what to do with {block.language!r}")

    async def close(self) -> None:
        """End what the page started: its servers, and the clients of its prompt."""
        for value in self._names.values():
            if isinstance(value, headrace.Client | headrace.Model):
                await value.aclose()
        for server in self._servers:
            if server.returncode is None:
                server.send_signal(signal.SIGTERM)
            await asyncio.wait_for(server.communicate(), SECONDS)

    async def _python(self, block: Block, text: str) -> None:
        if _PROGRAM.search(text):
            path = self._folder / (block.name or "program.py")
            path.write_text(text, encoding="utf-8")
            out, _ = await self._shell(block, f"python -W error {path.name}")
        elif block.name:
            compile(text, str(block), "exec")
            return
        else:
            out = await self._prompt(block, text)
        if block.printed is not None:
            assert matches(block.printed, out), f"{block} printed\n{out}"

    async def _prompt(self, block: Block, text: str) -> str:
        code = compile("\n" * (block.line - 1) + text, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            running = eval(code, self._names)
            if inspect.isawaitable(running):
                await asyncio.wait_for(running, SECONDS)
        return out.getvalue()

    async def _shell(self, block: Block, text: str, *, may_fail: bool = False) -> tuple[str, str]:
        process = await self._start(text)
        try:
            out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()
            raise AssertionError(f"{block} has not ended: {text}") from None
        shown = f"{block}: exit {process.returncode}\n{text}\n{out.decode()}\n{err.decode()}"
        assert may_fail or process.returncode == 0, shown
        assert b"Traceback" not in err, shown
        return out.decode(), err.decode()

    async def _serve(self, command: str, printed: str) -> None:
        server = await self._start(f"exec {command}")
        self._servers.append(server)
        assert server.stdout is not None
        assert server.stderr is not None
        if "uvicorn" in command:
            assert "Uvicorn running" in await asyncio.wait_for(_until(server.stderr, "Uvicorn running"), SECONDS)
            return
        line = (await asyncio.wait_for(server.stdout.readline(), SECONDS)).decode()
        assert matches(printed.rstrip("\n"), line.rstrip("\n")), line or (await server.stderr.read()).decode()

    async def _start(self, text: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            text,
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )


@contextlib.asynccontextmanager
async def reader(*args: Any, **kwargs: Any) -> AsyncIterator[Reader]:
    """Give a reader, and end the servers of its page."""
    one = Reader(*args, **kwargs)
    try:
        yield one
    finally:
        await one.close()


async def _until(output: asyncio.StreamReader, words: str) -> str:
    """Read up to the line that has some words, or to the end."""
    text = ""
    async for line in output:
        text += line.decode()
        if words in text:
            break
    return text


def matches(pattern: str, text: str) -> bool:
    """Compare what was printed with what a page says, in which `...` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), text, re.DOTALL) is not None
