"""Put the official packages into a cache folder, each in an environment of its own.

`python -m tests.interop.install [clarifai] [node] [openai-tools] [studio]` does it ahead of the tests; they do it
themselves otherwise. The folder is `interop` in `$HEADRACE_CACHE`, else in `headrace` of the user's cache folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

CLARIFAI = "12.5.0"
NODE = "0.4.0"
OPENAI_TOOLS = ("llm==0.36", "langchain-openai==1.7.4", "litellm==1.110.2")
SECONDS = 500.0  # for one installation


class Missing(Exception):
    """A tool that is not there and cannot be had; the text says why."""


def folder() -> Path:
    """Give the folder of all environments."""
    chosen = os.environ.get("HEADRACE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return (Path(chosen).expanduser() if chosen else Path(base) / "headrace") / "interop"


def clarifai() -> Path:
    """Give the Python of a virtual environment with the official Python SDK.

    Raises:
        Missing: it cannot be installed.
    """
    name = f"clarifai-{CLARIFAI}-py{sys.version_info.major}.{sys.version_info.minor}"

    return environment(name, f"clarifai=={CLARIFAI}")


def openai_tools() -> Path:
    """Give the Python of a virtual environment with programs that speak OpenAI's API.

    Raises:
        Missing: they cannot be installed.
    """
    versions = "-".join(tool.replace("==", "-") for tool in OPENAI_TOOLS)
    return environment(f"{versions}-py{sys.version_info.major}.{sys.version_info.minor}", *OPENAI_TOOLS)


def node() -> Path:
    """Give a folder whose `node_modules` has the official Node.js SDK.

    Raises:
        Missing: there is no Node.js, or the SDK cannot be installed.
    """
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")

    def fill(place: Path) -> None:
        place.mkdir()
        (place / "package.json").write_text('{"private": true, "type": "module"}\n')
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run(["npm", "install", *quiet, f"clarifai-nodejs@{NODE}"], cwd=place)

    return made_once(f"clarifai-nodejs-{NODE}", "node_modules/clarifai-nodejs", fill)


def studio() -> Path:
    """Give a folder whose `node_modules` has what Studio's page is built and checked with.

    Raises:
        Missing: there is no npm, or the packages cannot be installed.
    """
    if shutil.which("npm") is None:
        raise Missing("npm is not installed")
    sources = Path(__file__).parents[2] / "studio"
    lock = (sources / "package-lock.json").read_bytes()

    def fill(place: Path) -> None:
        place.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(sources / name, place)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=place)

    return made_once(f"studio-{hashlib.sha256(lock).hexdigest()[:12]}", "node_modules/vite", fill)


def environment(name: str, *packages: str, program: str = "python") -> Path:
    """Make a virtual environment with packages once; gives its Python, or another program of it."""

    def fill(place: Path) -> None:
        run([sys.executable, "-m", "venv", str(place)])
        run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])

    return made_once(name, f"bin/{program}", fill) / "bin" / program


def made_once(name: str, proof: str, fill: Callable[[Path], None]) -> Path:
    """Make an environment once; one that was left half done, or whose Python has gone, is made anew."""
    place = folder() / name
    done = place / ".complete"
    with _locked(folder() / f"{name}.lock"):
        if not (done.exists() and (place / proof).exists()):
            shutil.rmtree(place, ignore_errors=True)
            fill(place)
            done.touch()
    return place


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: list[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{' '.join(command[:4])} failed: {error}") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{' '.join(command[:4])} failed: {' '.join(last)}")


def main(names: list[str]) -> int:
    """Install what is named, or everything."""
    makers = {"clarifai": clarifai, "node": node, "openai-tools": openai_tools, "studio": studio}
    for name in names or list(makers):
        try:
            sys.stdout.write(f"{name}: {makers[name]()}\n")
        except Missing as missing:
            sys.stderr.write(f"{name}: {missing}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
