"""The clients to compare with, each in an environment of its own and on its own message types.

A client has several entries where it offers several ways to do the same, or needs an answer of another kind for each.
"""

from __future__ import annotations

from benchmarks.peers import install, kserve
from benchmarks.peers.base import Behaviour, Canned, Own, Peer

SAMPLES = "benchmarks.peers.samples"
#: gRPC's core and HTTP clients would send even this traffic to a proxy that the environment names.
LOOPBACK = {"no_grpc_proxy": "127.0.0.1", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
CALLS = ("unary", "unary_fixed", "upload", "at_once")
TOKENS = ("tokens_burst", "tokens_paced")
STREAM = ("duplex", "long_stream")


def _peer(name: str, environment: str, module: str, shapes: tuple[str, ...], behaviour: Behaviour = None) -> Peer:
    return Peer(name, install.python(environment), f"{SAMPLES}.{module}", shapes, behaviour, LOOPBACK)


def _environments() -> dict[str, list[Peer]]:
    """Group all peers by the environment that they need."""
    chat = Own("benchmarks.peers.sse_server")
    infer, stream, token = (
        Canned(answer()) for answer in (kserve.infer_response, kserve.stream_response, kserve.token_response)
    )
    return {
        "sdk": [
            _peer("sdk-threads", "sdk", "sdk_threads", (*CALLS, *TOKENS, "bulk", "cold_import", "cold_call")),
            _peer("sdk-async", "sdk", "sdk_async", (*CALLS, *TOKENS, "bulk")),
            _peer("sdk-stream", "sdk", "sdk_stream", (*STREAM, "bulk")),
            _peer("sdk-batch", "sdk", "sdk_batch", ("bulk",)),
        ],
        "tritonclient": [
            _peer("tritonclient", "tritonclient", "triton_unary", (*CALLS, "cold_import"), infer),
            _peer("tritonclient-stream", "tritonclient", "triton_stream", STREAM, stream),
            _peer("tritonclient-tokens", "tritonclient", "triton_tokens", TOKENS, token),
        ],
        "connect": [_peer("connect", "connect", "connect_client", (*CALLS, *TOKENS, *STREAM))],
        "grpclib": [_peer("grpclib", "grpclib", "grpclib_client", (*CALLS, *TOKENS, *STREAM, "cold_import"))],
        "openai": [
            _peer("openai", "openai", "openai_httpx", ("unary", *TOKENS, "cold_import"), chat),
            _peer("openai-aiohttp", "openai", "openai_aiohttp", ("unary", *TOKENS), chat),
        ],
    }


def available() -> dict[str, Peer]:
    """List the peers whose environment is there."""
    whole = [peers for name, peers in _environments().items() if install.installed(name)]
    return {peer.name: peer for peers in whole for peer in peers}


def missing() -> dict[str, str]:
    """List the others, each with the command that installs it."""
    installed = available()
    return {
        peer.name: f"python -m benchmarks.peers install {name}"
        for name, peers in _environments().items()
        for peer in peers
        if peer.name not in installed
    }
