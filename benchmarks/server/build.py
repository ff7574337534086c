"""Compile the C++ server on first use, into the user's cache, by the hash of its source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "fast.cpp"
SOURCES = (SOURCE, HERE / "connection.hpp")
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror")


class NoCompiler(RuntimeError):
    """The C++ server cannot be built on this system; the message says why."""


def executable() -> Path:
    """Find the compiled server, or compile it.

    Raises:
        NoCompiler: not Linux (the server uses epoll), or no g++.
        subprocess.CalledProcessError: the compiler refused the source.
    """
    if sys.platform != "linux":
        raise NoCompiler("the C++ server needs Linux")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:16]
    binary = cache() / f"fast-{digest}"
    if binary.exists():
        return binary
    if compiler is None:
        raise NoCompiler("no g++ here")
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_suffix(f".{os.getpid()}")  # another process may build the same at the same time
    subprocess.run([compiler, *FLAGS, "-o", unfinished, SOURCE], check=True)
    unfinished.replace(binary)
    return binary


def cache() -> Path:
    """Where compiled servers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "headrace-bench"
