"""Mutated input for everything that reads what a server sends: `python -m fuzz --seconds 600`, or `make fuzz`.

Each target takes random bytes and a source of chance, and raises where something is wrong: an error that is not ours, a
result that depends on how the bytes are cut, a verdict that differs from another implementation's. Every input comes
from a number, so that a failure can be repeated: `python -m fuzz TARGET --first NUMBER --count 1`.
"""
