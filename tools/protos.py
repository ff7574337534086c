"""Generate ``src/headrace/v2`` from ``protos/headrace/v2``, or check that it is up to date.

    python tools/protos.py            write the generated code
    python tools/protos.py --check    compare only; exit status 1 when a file differs

The compiler is pinned to the oldest supported one and lives in a throw-away virtual environment: code from a newer
compiler refuses to be imported next to an older protobuf.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

COMPILER = "grpcio-tools==1.62.3"  # brings protoc 25.1: its code runs on protobuf 4.25 and everything later
NEWEST_PYTHON = (3, 12)  # the last one that this compiler has wheels for
ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("headrace", "v2")
GENERATED = ROOT / "src" / PACKAGE


def install_compiler(where: Path) -> Path:
    """Make a virtual environment that has the compiler; return its Python."""
    venv.create(where, with_pip=True)
    python = where / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--only-binary", ":all:", COMPILER], check=True)
    return python


def generate(python: Path, out: Path) -> None:
    """Compile every proto of ours into ``out``: messages and their type stubs, no service stubs."""
    sources = sorted(str(path.relative_to(PROTOS).as_posix()) for path in (PROTOS / PACKAGE).glob("*.proto"))
    protoc = [str(python), "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"--python_out={out}", f"--pyi_out={out}"]
    subprocess.run([*protoc, *sources], check=True, cwd=PROTOS)


def read(folder: Path) -> dict[str, bytes]:
    """Return the generated files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.glob("*_pb2*.py*") if path.is_file()}


def typed(content: bytes) -> bytes:
    """Say in a type stub what the compiler leaves open: what a mapping maps."""
    content = content.replace(b"_Mapping]", b"_Mapping[str, _Any]]")
    return (
        content.replace(b"from typing import ", b"from typing import Any as _Any, ") if b"_Any]" in content else content
    )


def write(fresh: dict[str, bytes]) -> None:
    """Put the fresh files in place of the committed ones."""
    for name in read(GENERATED).keys() - fresh.keys():
        (GENERATED / name).unlink()
    for name, content in fresh.items():
        (GENERATED / name).write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate src/headrace/v2 from protos/headrace/v2.")
    parser.add_argument("--check", action="store_true", help="compare only; exit status 1 when a file differs")
    check: bool = parser.parse_args().check
    if sys.version_info[:2] > NEWEST_PYTHON:
        version = ".".join(map(str, NEWEST_PYTHON))
        parser.error(f"{COMPILER} has no wheels for this Python; run this with Python 3.11 to {version}")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "out")
        out.mkdir()
        generate(install_compiler(Path(temporary, "venv")), out)
        fresh = {name: typed(content) for name, content in read(out / PACKAGE).items()}
    committed = read(GENERATED)
    changed = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    if not check:
        write(fresh)
    for name in changed:
        done = "differs" if check else "written" if name in fresh else "removed"
        print(f"{done}: {(GENERATED / name).relative_to(ROOT)}")
    if not changed:
        print(f"up to date: {len(fresh)} files")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
