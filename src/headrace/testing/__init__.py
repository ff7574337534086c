"""What helps to test code that uses headrace, without a network and without an account; see docs/testing.md."""

from headrace.testing.faults import ConnectionFaults, Direction
from headrace.testing.proxy import FaultProxy, ProxyStats

__all__ = ["ConnectionFaults", "Direction", "FaultProxy", "ProxyStats"]
