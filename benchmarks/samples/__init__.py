"""Samples of headrace itself and of what it is measured against: a raw grpc.aio stub that does the same work."""
