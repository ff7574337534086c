"""The transport over gRPC's asyncio API."""
