"""How a duplex stream behaves."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.calls.batching import BatchLimits
from headrace.config import Window
from headrace.flow.pipe import Overflow
from headrace.transport.base import Metadata


@dataclass(frozen=True, slots=True)
class DuplexOptions:
    """How a duplex stream behaves; see `Model.stream`."""

    window: Window
    prefetch: int
    ordered: bool
    overflow: Overflow
    max_age: float | None
    resume: bool
    batching: BatchLimits
    timeout: float  # seconds an input may take; inf: any
    warm_up: float | None  # None: the configured budget, on top of the timeout
    metadata: Metadata = ()
