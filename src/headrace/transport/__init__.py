"""Transports: connections that carry bytes and metadata. Only `grpc` imports grpc; `h2` speaks HTTP/2 itself."""
