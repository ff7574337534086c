"""What a user gets with `pip install headrace` or `headrace[extra]`: installed into an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = "core"  # the set without an extra
DEFAULT = (CORE, "cli", "web", "local")
CHOICES = (CORE, *(name for name in PROJECT["optional-dependencies"] if name not in ("bench", "dev")))


def requirement(name: str, wheel: Path) -> str:
    """Give what pip is asked for, by the name of the set."""
    return str(wheel) if name == CORE else f"{wheel}[{name}]"


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder)
    [wheel] = folder.glob("*.whl")
    return wheel


def environment(folder: Path, *requirements: str) -> Path:
    """Make an environment that holds what is required and nothing else, not even pip; give its Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    interpreter = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", *requirements)
    return interpreter


def run(*command: str | Path) -> str:
    """Run a command and give what it printed; end this program with its message where it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        shown = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        sys.exit("\n".join([f"{' '.join(map(str, command[:4]))} ... failed:", *shown]))
    return done.stdout
