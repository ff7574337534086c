"""The lean transport: gRPC over HTTP/2 in Python, on `asyncio.Protocol`."""
