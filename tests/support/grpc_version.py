"""Which gRPC runs here, for what its older versions do differently."""

import grpc
import pytest

VERSION = tuple(map(int, grpc.__version__.split(".")[:2]))


def skip_if_attempts_are_kept(transport: str) -> None:
    """Skip a test that closes a client whose attempts to connect have not ended."""
    if transport == "grpc" and VERSION < (1, 66):
        pytest.skip("this gRPC keeps the socket of an attempt to connect though its channel is closed")
