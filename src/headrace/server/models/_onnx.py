"""Opening ONNX files: on the processor, without telemetry, with int8 weights unpacked at load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float = NDArray[np.float32]


class Network:
    """An ONNX model, ready to run; calls from several threads at once are fine."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3  # errors only
        # Spinning threads gain a millisecond on an idle machine and lose ten on a busy one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Weights are stored as int8 but the arithmetic is float: unpacked once here, not on every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, outputs: Sequence[str] | None, **inputs: Any) -> list[Any]:
        """Return the named outputs (None: all) for inputs given by name, as arrays."""
        results: list[Any] = self._session.run(list(outputs) if outputs is not None else None, inputs)
        return results


def few_threads() -> int:
    """Return how many threads an engine may use whose threads spin while they wait: half of the processors."""
    return max(1, threads() // 2)


def threads() -> int:
    """Return how many threads a model may use: the processors of this process, at most eight."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(8, usable or 1))
