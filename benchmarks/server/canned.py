"""The server of canned answers on grpc.aio, where no compiler is: arguments, ports and answers as `fast.cpp`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from headrace.v2 import service_pb2 as rpc


class Canned(grpc.GenericRpcHandler):
    """Answers any method of one port; a line of the configuration says how (see `fast.cpp`)."""

    def __init__(self, line: str) -> None:
        self.name, self.shape, answer, output, messages, interval_ms, delay_ms = line.split()
        self._answer = Path(answer).read_bytes()
        self._output = b"" if output == "-" else Path(output).read_bytes()
        self._messages, self._interval, self._delay = int(messages), int(interval_ms) / 1000, int(delay_ms) / 1000

    def service(self, handler_call_details: Any) -> Any:
        """Give the handler of the port's shape."""
        if self.shape == "unary":
            return grpc.unary_unary_rpc_method_handler(self._unary)
        if self.shape == "server_stream":
            return grpc.unary_stream_rpc_method_handler(self._server_stream)
        return grpc.stream_stream_rpc_method_handler(self._duplex)

    def _message(self, request: bytes) -> bytes:
        if not self._output:
            return self._answer
        return self._answer + self._output * len(rpc.PostModelOutputsRequest.FromString(request).inputs)

    async def _unary(self, request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(self._delay)
        return self._message(request)

    async def _server_stream(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(self._interval * random.random())  # calls are not in step
        for remaining in range(self._messages, 0, -1):
            yield self._answer
            if self._interval and remaining > 1:
                await asyncio.sleep(self._interval)

    async def _duplex(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        if not self._delay:
            async for request in requests:
                yield self._message(request)
            return
        answers: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        time = asyncio.get_running_loop().time

        async def take() -> None:
            async for request in requests:
                answers.put_nowait((time() + self._delay, self._message(request)))
            answers.put_nowait(None)

        taking = asyncio.create_task(take())
        while (due := await answers.get()) is not None:
            await asyncio.sleep(due[0] - time())
            yield due[1]
        await taking


async def main(lines: Sequence[str]) -> None:
    """Serve until standard input ends."""
    ports = {}
    servers = []
    for line in lines:
        handler = Canned(line)
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        server.add_generic_rpc_handlers((handler,))
        ports[handler.name] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # as SIGTERM does: nobody waits for the calls that still run


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text().splitlines()))
