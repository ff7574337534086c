"""The clients to compare with, each in an environment of its own."""

from __future__ import annotations

from benchmarks.peers.base import Peer


def available() -> dict[str, Peer]:
    """List the peers whose environment is there."""
    return {}


def missing() -> dict[str, str]:
    """List the others, each with the command that installs it."""
    return {}
