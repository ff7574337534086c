"""Connections: what carries bytes and metadata. `grpc` is the only client file that imports grpc."""
