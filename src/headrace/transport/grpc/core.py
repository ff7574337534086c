"""gRPC's native core seen from outside: whether it runs in this process, which a fork does not survive.

It has no function that says so. Its threads show it, if the system lists them, and its objects, which Python's
collector knows. When the last channel is gone, the core ends by itself, but later: newer ones do it in a thread.
"""

from __future__ import annotations

import gc
import os
import time

PAUSE = 0.001  # seconds between two looks
QUICK_END = 0.05  # seconds in which an unused core ends, except on a busy machine
THREADS = ("event_engine", "grpc_", "lifeguard", "timer_manager", "default-executo", "resolver-execut")
OBJECTS = ("AioChannel", "AioServer")
TASKS = "/proc/self/task"


def runs() -> bool | None:
    """Return whether the core's threads are there; None if the system does not say."""
    try:
        tasks = os.listdir(TASKS)
    except OSError:
        return None
    return len(tasks) > 1 and any(_name(task).startswith(THREADS) for task in tasks)


def is_held() -> bool:
    """Return whether a channel or server of grpc.aio exists, even if only a traceback keeps it."""
    return any(type(thing).__name__ in OBJECTS for thing in gc.get_objects())


def settle(patience: float) -> bool:
    """Wait until the core has ended after its last channel was closed.

    Args:
        patience: seconds at most; other users of gRPC in the process may keep it alive.

    Returns:
        False when an object of grpc.aio holds it, so that it does not end.
    """
    end = time.monotonic() + patience
    if _ended(min(patience, QUICK_END)):
        return True
    gc.collect()  # a channel may be in a cycle: calls, errors and their tracebacks often are
    return not is_held() and (_ended(end - time.monotonic()) or True)


def _ended(patience: float) -> bool:
    end = time.monotonic() + patience
    while (running := runs()) is not False and time.monotonic() < end:
        time.sleep(PAUSE)  # before a fork nothing can be awaited
    return running is False


def _name(task: str) -> str:
    try:
        with open(f"{TASKS}/{task}/comm", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:  # it has ended meanwhile
        return ""
