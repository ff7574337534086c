"""What a peer is to the harness: an interpreter, a module that follows `benchmarks.protocol`, and what it can do.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Canned:
    """A server's answer that is not Clarifai's: the bytes of one response message, for every request the same."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Own:
    """A server of the peer's own: a module that prints `HOST:PORT` on one line when it is ready, and ends on SIGTERM.

    Run by the peer's interpreter (`python -m MODULE SHAPE`), pinned where the other servers are.
    """

    module: str


#: What the harness's server answers a peer with: None is one Clarifai response with as many outputs as inputs came
#: (unary, duplex) or one output a message (token streams), each with a text and five concepts.
Behaviour = Canned | Own | None


@dataclass(frozen=True, slots=True)
class Peer:
    """A client to compare with.

    Args:
        name: as the tables show it: raw, headrace, sdk-threads, sdk-async, sdk-stream, tritonclient, grpclib, openai.
        python: the interpreter of its environment.
        module: run as `python -m module SHAPE ...` from the repository's root; prints a sample.
        shapes: those of `benchmarks.protocol.SHAPES` that it can do.
        server_behaviour: what answers it.
        environment: variables that its documentation recommends.
    """

    name: str
    python: Path
    module: str
    shapes: tuple[str, ...]
    server_behaviour: Behaviour = None
    environment: Mapping[str, str] = field(default_factory=dict)
