"""Put the peers into virtual environments of their own under the user's cache folder.

`$XDG_CACHE_HOME/headrace-bench/peers/NAME`, by default below `~/.cache`. What goes into one is in
`requirements/NAME.txt`; an environment is made anew when that file or the interpreter has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
SECONDS = 900.0  # for one installation
READ_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Failed(Exception):
    """An environment that cannot be made; the text says why."""


def names() -> list[str]:
    """List the environments that there are requirements for."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def folder() -> Path:
    """Give the folder of all environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace-bench" / "peers"


def python(name: str) -> Path:
    """Give the interpreter of an environment, which may not be there."""
    return folder() / name / "bin" / "python"


def installed(name: str) -> bool:
    """Tell whether an environment is whole and made from today's requirements by this interpreter's version."""
    try:
        return _marker(name).read_text() == _wanted(name) and python(name).exists()
    except OSError:
        return False


def versions(name: str) -> dict[str, str]:
    """Read the versions of the required distributions that an environment has."""
    distributions = [line.partition("==")[0].partition("[")[0] for line in _lines(name)]
    command = [str(python(name)), "-c", READ_VERSIONS, *distributions]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60.0)
    installed: dict[str, str] = json.loads(done.stdout)
    return installed


def make(name: str, say: Callable[[str], None]) -> bool:
    """Make an environment unless it is there; tells whether there was something to do.

    Args:
        name: one of `names()`.
        say: called with what is being done.

    Raises:
        Failed: it could not be made; the next try starts from the beginning.
    """
    if name not in names():
        raise Failed(f"there is no peer {name}; there are {', '.join(names())}")
    place = folder() / name
    with _locked(folder() / f"{name}.lock"):
        if installed(name):
            return False
        shutil.rmtree(place, ignore_errors=True)
        say(f"making {place}")
        _run([sys.executable, "-m", "venv", str(place)])
        say("installing " + " ".join(_lines(name)))
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        _run([str(python(name)), "-m", "pip", "install", *quiet, "-r", str(REQUIREMENTS / f"{name}.txt")])
        _marker(name).write_text(_wanted(name))
    return True


def _marker(name: str) -> Path:
    return folder() / name / "made-from.txt"


def _wanted(name: str) -> str:
    return "\n".join([f"python=={sys.version_info.major}.{sys.version_info.minor}", *_lines(name), ""])


def _lines(name: str) -> list[str]:
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{' '.join(command[:4])} failed: {error}") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise Failed("\n".join([f"{' '.join(command[:4])} failed:", *last]))
