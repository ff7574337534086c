"""Files that are complete or not there: written beside their place, then moved into it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def placed(path: str | os.PathLike[str], *, replace: bool = True, follow: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is moved there when the block ends well, and removed when it fails.

    Devices and pipes are written to as they are.

    Args:
        replace: whether an existing file is replaced.
        follow: whether a link's target is written, or the link itself replaced.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(path)) if follow else Path(path)
    mode = _mode(target, follow)
    if mode is not None and not replace:
        raise FileExistsError(f"{path} already exists")
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        yield target
        return
    fresh = target.with_name(f".{secrets.token_hex(8)}{target.suffix[:16]}")
    try:
        yield fresh
        if mode is not None and stat.S_ISREG(mode):
            with contextlib.suppress(OSError):  # another user's
                fresh.chmod(stat.S_IMODE(mode))
        if replace:
            os.replace(fresh, target)
        else:
            _move_new(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _mode(path: Path, follow: bool) -> int | None:
    try:
        return os.stat(path, follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return None


def _move_new(fresh: Path, target: Path) -> None:
    """Move a file to a name that must not exist, also if somebody makes it at the same moment."""
    try:
        os.link(fresh, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError(f"{target} already exists") from None
        os.replace(fresh, target)


def append(file: IO[bytes], text: str) -> None:
    """Write a text to the end of an unbuffered file, whole or not at all.

    Raises:
        OSError: it cannot be written; what was written of it is cut off again.
    """
    end = file.tell() if file.seekable() else None
    remaining = memoryview(text.encode(errors="backslashreplace"))
    try:
        while remaining:
            remaining = remaining[file.write(remaining) :]
    except OSError:
        if end is not None:
            file.seek(end)
            file.truncate()
        raise
