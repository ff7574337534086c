"""One sample a peer: run by the peer's own interpreter, on the peer's own message types."""
