"""The echo server on grpc.aio; see `tests/stacks/servers/__init__.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

import grpc
from grpc import aio

CODES = {code.value[0]: code for code in grpc.StatusCode}
cancelled = 0


async def obey(message: bytes, context: Any) -> bytes:
    """Do what a message asks for, or give it back."""
    global cancelled
    command, _, rest = message[:1000].partition(b" ")
    if command == b"fail":
        number, _, text = rest.decode().partition(" ")
        await context.abort(CODES[int(number)], text)
    if command == b"wait":
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled += 1
            raise
    if command == b"cancelled":
        return str(cancelled).encode()
    if command == b"metadata":
        value = dict(context.invocation_metadata() or ()).get(rest.decode(), "")
        return value if isinstance(value, bytes) else value.encode()
    return message


async def unary(message: bytes, context: Any) -> bytes:
    """Answer once."""
    return await obey(message, context)


async def count(message: bytes, context: Any) -> Any:
    """Answer so many times with messages of a size."""
    number, size = map(int, message.split())
    for n in range(number):
        yield str(n).encode().ljust(size, b".")


async def total(messages: Any, context: Any) -> bytes:
    """Answer with the sum of all lengths."""
    sizes = [len(message) async for message in messages]
    return str(sum(sizes)).encode()


async def duplex(messages: Any, context: Any) -> Any:
    """Answer each message."""
    async for message in messages:
        yield await obey(message, context)


async def main() -> None:
    """Serve until stdin ends; SIGTERM stops as soon as the calls have ended."""
    server = aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Duplex": grpc.stream_stream_rpc_method_handler(duplex),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("stack.Echo", methods),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stopping.append(loop.create_task(server.stop(20))))
    loop.add_reader(0, lambda: os.read(0, 1) or os._exit(0))
    with contextlib.suppress(asyncio.CancelledError):
        await server.wait_for_termination()
    os._exit(0)


asyncio.run(main())
