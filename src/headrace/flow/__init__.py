"""Bounded pipes, windows and rates: backpressure in items, bytes and calls a second."""
