"""The transport in memory, for tests: no socket, real flow control."""
