"""The files that ship inside the package: small models, labels, sample inputs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2] / "data"


def shipped(name: str) -> Path:
    """Return the path of a shipped file, such as "models/yolov3-tiny.onnx"."""
    return _ROOT / name


@cache
def labels(name: str) -> tuple[str, ...]:
    """Read a shipped list of class names ("imagenet", "coco"), in the model's order."""
    return tuple(shipped(f"labels/{name}.txt").read_text(encoding="utf-8").splitlines())
