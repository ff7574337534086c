"""Handlers from one function of protocol messages."""

from collections.abc import AsyncIterator

import pytest

from headrace.config import Target, Transmission
from headrace.testing import MemoryServer, prediction_handlers
from headrace.testing.handlers import GENERATE, PREDICT, STREAM, Request, Response
from headrace.v2 import resources_pb2 as pb


def request(text: str) -> bytes:
    data = pb.Data(text=pb.Text(raw=text))
    return Request(inputs=[pb.Input(data=data)]).SerializeToString()


def response(text: str) -> Response:
    return Response(outputs=[pb.Output(data=pb.Data(text=pb.Text(raw=text)))])


def once(request: Request) -> Response:
    return response(request.inputs[0].data.text.raw.upper())


async def once_later(request: Request) -> Response:
    return once(request)


def twice(request: Request) -> list[Response]:
    return [once(request), once(request)]


async def twice_later(request: Request) -> AsyncIterator[Response]:
    yield once(request)
    yield once(request)


@pytest.mark.parametrize(
    ("function", "times"), [(once, 1), (once_later, 1), (twice, 2), (lambda request: twice_later(request), 2)]
)
async def test_a_function_answers_all_three_methods(function: object, times: int) -> None:
    server = MemoryServer(prediction_handlers(function))  # type: ignore[arg-type]
    transport = server(Target.parse("unix:/memory"), Transmission())
    for method, inputs in ((GENERATE, ["a"]), (STREAM, ["a", "b"])):
        call = transport.open(method, ())
        for text in inputs:
            await call.write([request(text)])
        await call.half_close()
        received = []
        while (message := await call.read()) is not None:
            received.append(Response.FromString(message).outputs[0].data.text.raw)
        assert received == [text.upper() for text in inputs for _ in range(times)]
    if times == 1:
        answer = Response.FromString(await transport.unary(PREDICT, [request("a")], (), 5.0))
        assert answer.outputs[0].data.text.raw == "A"
    await transport.close(0)
    assert not server.errors
