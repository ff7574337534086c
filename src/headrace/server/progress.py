"""Progress of weight downloads on stderr: lines for people, or JSON lines for a parent process."""

from __future__ import annotations

import json
import sys
import threading
import time

from headrace.server.model import ModelError

_EVERY = {True: 0.2, False: 2.0}  # seconds between lines, for machines and for people


class Stopped(ModelError):
    """The server is stopping: raised by progress reports, to end a download."""

    def __init__(self, name: str) -> None:
        super().__init__(21350, f"fetching {name} was cancelled: the server is stopping")


class Reporter:
    """Print what `weights.ensure` reports; thread-safe.

    Args:
        machine: JSON lines `{"event": "weights", "name": ..., "done": bytes, "total": bytes}` instead of sentences.
    """

    def __init__(self, machine: bool) -> None:
        self._machine = machine
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def stop(self) -> None:
        """Make the next report raise `Stopped`, so that a download ends with the server."""
        self._stopped.set()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Report that `done` of `total` bytes of a weight are there."""
        if self._stopped.is_set():
            raise Stopped(name)
        now = time.monotonic()
        with self._lock:
            first = name not in self._last
            if not first and done < total and now - self._last[name] < _EVERY[self._machine]:
                return
            self._last[name] = now
            if self._machine:
                line = json.dumps({"event": "weights", "name": name, "done": done, "total": total})
            else:
                share = f"{done / total:.0%}" if total else "0%"
                line = f"headrace: fetching {name}: {share} of {total / 1e6:.0f} MB"
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
