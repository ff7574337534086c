"""HTTP/2 without I/O: no socket, no clock, no `await`. Each file names its sections of RFC 9113."""

from headrace.transport.h2.engine.connection import Engine
from headrace.transport.h2.engine.limits import H2Limits

__all__ = ["Engine", "H2Limits"]
