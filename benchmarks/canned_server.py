"""A server that answers every prediction with the same bytes; prints its address and serves until terminated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from headrace.codec import GENERATE, PREDICT, STREAM
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

TOKENS = 200
ANSWER = rpc.MultiOutputResponse(
    status=status_pb2.Status(code=status_pb2.SUCCESS, req_id="canned"),
    outputs=[pb.Output(data=pb.Data(text=pb.Text(raw="word ")))],
).SerializeToString()


class Canned(grpc.GenericRpcHandler):
    """Knows the three shapes by their paths."""

    def service(self, handler_call_details: Any) -> Any:
        """Give the handler of a method."""
        if handler_call_details.method == PREDICT:
            return grpc.unary_unary_rpc_method_handler(self._predict)
        if handler_call_details.method == GENERATE:
            return grpc.unary_stream_rpc_method_handler(self._generate)
        if handler_call_details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return None

    async def _predict(self, _request: bytes, _context: Any) -> bytes:
        return ANSWER

    async def _generate(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(TOKENS):
            yield ANSWER

    async def _stream(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield ANSWER


async def main() -> None:
    """Serve on a free loopback port."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Canned(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
