"""A server of chat completions that answers every request alike; prints its address and serves until terminated.

`python -m benchmarks.peers.sse_server [SHAPE]`: HTTP/1.1 with keep-alive. A request for a stream gets server-sent
events in chunked encoding, one chunk a token: all in one write, or for `tokens_paced` one every 20 ms. Other
requests get the whole completion. All is made ahead: the client is what is measured. Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import signal
from collections.abc import Sequence
from typing import Any

TOKENS = 200  # of a stream whose tokens come all at once
PACED_TOKENS = 100  # of a stream whose tokens are paced
INTERVAL = 0.02  # seconds between paced tokens
WORD = "word "
SHARED = {"id": "chatcmpl-canned", "created": 1_700_000_000, "model": "canned", "system_fingerprint": "fp_canned"}
EVENT_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
END_OF_STREAM = b"0\r\n\r\n"


def completion(text: str) -> bytes:
    """Make the whole answer to a request that wants no stream."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = json.dumps({**SHARED, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@functools.cache
def pieces(tokens: int) -> list[bytes]:
    """Make a stream as one piece a token: the first with the role before it, the last with what ends the stream."""
    events = [_event({"content": WORD}, None)] * tokens
    events[0] = _event({"role": "assistant", "content": ""}, None) + events[0]
    events[-1] += _event({}, "stop") + _chunk(b"data: [DONE]\n\n") + END_OF_STREAM
    return events


def _event(delta: dict[str, str], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = json.dumps({**SHARED, "object": "chat.completion.chunk", "choices": [choice]})
    return _chunk(f"data: {body}\n\n".encode())


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


WHOLE = completion("five words that answer it")


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after the other."""

    def __init__(self, tokens: int, interval: float) -> None:
        self._tokens, self._interval = tokens, interval
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop pacing."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect requests, answer the next."""
        self._received += data
        self._next()

    def _next(self) -> None:
        while not self._busy:
            ended = self._received.find(b"\r\n\r\n")
            if ended < 0:
                return
            length = _content_length(bytes(self._received[:ended]))
            whole = ended + 4 + length
            if len(self._received) < whole:
                return
            body = bytes(self._received[ended + 4 : whole])
            del self._received[:whole]
            self._answer(json.loads(body) if body else {})

    def _answer(self, request: dict[str, Any]) -> None:
        if not request.get("stream"):
            self._transport.write(WHOLE)
        elif not self._interval:
            self._transport.write(EVENT_STREAM + b"".join(pieces(self._tokens)))
        else:
            self._busy = True
            self._transport.write(EVENT_STREAM)
            self._pace(0, self._loop.time())

    def _pace(self, sent: int, due: float) -> None:
        """Write a token at its time; what ends the stream goes with the last."""
        self._transport.write(pieces(self._tokens)[sent])
        if sent + 1 < self._tokens:
            self._timer = self._loop.call_at(due + self._interval, self._pace, sent + 1, due + self._interval)
        else:
            self._timer, self._busy = None, False
            self._next()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def start(tokens: int, interval: float) -> asyncio.Server:
    """Serve on a free loopback port.

    Args:
        tokens: how many a stream has.
        interval: seconds between two of them; 0 sends all at once.
    """
    return await asyncio.get_running_loop().create_server(lambda: Connection(tokens, interval), "127.0.0.1", 0)


async def serve(tokens: int, interval: float) -> None:
    """Print the address, serve until SIGTERM."""
    server = await start(tokens, interval)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await stop.wait()
    server.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve what the command line asks for."""
    parser = argparse.ArgumentParser(description="Canned chat completions over HTTP/1.1.")
    parser.add_argument("shape", nargs="?", default="unary", help="tokens_paced: tokens come one after the other")
    paced = parser.parse_args(argv).shape == "tokens_paced"
    asyncio.run(serve(PACED_TOKENS, INTERVAL) if paced else serve(TOKENS, 0.0))


if __name__ == "__main__":
    main()
