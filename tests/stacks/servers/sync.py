"""The echo server on gRPC's C core with threads; see `tests/stacks/servers/__init__.py`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}
cancelled = 0


def obey(message: bytes, context: Any) -> bytes:
    """Do what a message asks for, or give it back."""
    global cancelled
    command, _, rest = message[:1000].partition(b" ")
    if command == b"fail":
        number, _, text = rest.decode().partition(" ")
        context.abort(CODES[int(number)], text)
    if command == b"wait":
        end = time.monotonic() + 30
        while time.monotonic() < end and context.is_active():
            time.sleep(0.01)
        cancelled += not context.is_active()
    if command == b"cancelled":
        return str(cancelled).encode()
    if command == b"metadata":
        value = dict(context.invocation_metadata()).get(rest.decode(), "")
        return value if isinstance(value, bytes) else value.encode()
    return message


def count(message: bytes, context: Any) -> Any:
    """Answer so many times with messages of a size."""
    number, size = map(int, message.split())
    for n in range(number):
        yield str(n).encode().ljust(size, b".")


def total(messages: Any, context: Any) -> bytes:
    """Answer with the sum of all lengths."""
    return str(sum(map(len, messages))).encode()


def duplex(messages: Any, context: Any) -> Any:
    """Answer each message."""
    for message in messages:
        yield obey(message, context)


def main() -> None:
    """Serve until stdin ends; SIGTERM stops as soon as the calls have ended."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(32), options=options)
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(obey),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Duplex": grpc.stream_stream_rpc_method_handler(duplex),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("stack.Echo", methods),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(20))
    threading.Thread(target=lambda: os.read(0, 1) or os._exit(0), daemon=True).start()
    server.wait_for_termination()
    os._exit(0)


main()
