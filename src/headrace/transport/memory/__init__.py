"""The transport in memory, for tests: no socket, real flow control."""

from headrace.transport.memory.client import MemoryTransport
from headrace.transport.memory.server import CallFailed, Handler, MemoryServer, ServerCall

__all__ = ["CallFailed", "Handler", "MemoryServer", "MemoryTransport", "ServerCall"]
