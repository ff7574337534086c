"""The thirteen cases of gRPC's interop tests that a client without TLS and without a cloud has, on Ruby's server.

Source: "gRPC Interop Test Case Descriptions". Messages are protobuf's, of gRPC's own test.proto.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace import errors
from headrace.config import Transmission
from headrace.target import Target
from headrace.transport.base import Transport
from tests.interop.conftest import absent
from tests.interop.install import Missing
from tests.stacks import install
from tests.stacks.conftest import FACTORIES, TRANSPORTS
from tests.stacks.running import free_port, running

pytestmark = pytest.mark.conformance

SERVICE = "/grpc.testing.TestService"
LARGE_REQUEST, LARGE_ANSWER = 271_828, 314_159
REQUEST_SIZES, ANSWER_SIZES = (27_182, 8, 1_828, 45_904), (31_415, 9, 2_653, 58_979)


@pytest.fixture(scope="module")
def proto(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The messages, compiled from the system's .proto files in a process of their own."""
    try:
        folder = install.grpc_protos()
    except Missing as reason:
        absent("stacks", str(reason))
    out = tmp_path_factory.mktemp("protos") / "set"
    files = [f"grpc/testing/{name}.proto" for name in ("empty", "messages")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
    subprocess.run([*command, f"--descriptor_set_out={out}", *files], check=True, timeout=60)
    return _messages(out)


def _messages(path: Path) -> SimpleNamespace:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.Add(file)
    names = ["Empty", "SimpleRequest", "SimpleResponse", "Payload", "EchoStatus", "ResponseParameters"]
    names += ["StreamingInputCallRequest", "StreamingInputCallResponse"]
    names += ["StreamingOutputCallRequest", "StreamingOutputCallResponse"]
    found = {name: pool.FindMessageTypeByName(f"grpc.testing.{name}") for name in names}
    return SimpleNamespace(**{name: message_factory.GetMessageClass(one) for name, one in found.items()})


@pytest.fixture(scope="module")
def interop_server() -> Iterator[str]:
    """gRPC's interop server in Ruby."""
    try:
        server = install.grpc_gem() / "src/ruby/pb/test/server.rb"
        ruby = install.program("ruby")
    except Missing as reason:
        absent("stacks", str(reason))
    port = free_port()
    with running([ruby, server, "--port", str(port)], port) as process:
        yield process.address


@pytest.fixture(params=TRANSPORTS)
async def transport(request: pytest.FixtureRequest, interop_server: str) -> AsyncIterator[Transport]:
    """A connected transport to it."""
    made = FACTORIES[request.param](Target.parse(interop_server), Transmission())
    await made.connect(10)
    yield made
    await made.close(0)


async def unary(transport: Transport, method: str, request: Any, metadata: Any = ()) -> bytes:
    return await transport.unary(f"{SERVICE}/{method}", [request.SerializeToString()], metadata, 20)


async def write(call: Any, message: Any) -> None:
    await call.write([message.SerializeToString()])


def output_request(proto: SimpleNamespace, request: int, *answers: int) -> Any:
    parameters = [proto.ResponseParameters(size=size) for size in answers]
    return proto.StreamingOutputCallRequest(
        response_parameters=parameters, payload=proto.Payload(body=bytes(request)) if request else None
    )


@pytest.mark.case("IOP-01")
async def test_empty_unary(transport: Transport, proto: SimpleNamespace) -> None:
    assert await unary(transport, "EmptyCall", proto.Empty()) == b""


@pytest.mark.case("IOP-02")
async def test_large_unary(transport: Transport, proto: SimpleNamespace) -> None:
    request = proto.SimpleRequest(response_size=LARGE_ANSWER, payload=proto.Payload(body=bytes(LARGE_REQUEST)))
    answer = proto.SimpleResponse.FromString(await unary(transport, "UnaryCall", request))
    assert answer.payload.body == bytes(LARGE_ANSWER)


@pytest.mark.case("IOP-03")
async def test_client_streaming(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/StreamingInputCall", (), timeout=20)
    for size in REQUEST_SIZES:
        await write(call, proto.StreamingInputCallRequest(payload=proto.Payload(body=bytes(size))))
    await call.half_close()
    answer = proto.StreamingInputCallResponse.FromString(await call.read() or b"")
    assert answer.aggregated_payload_size == 74_922
    assert await call.read() is None


@pytest.mark.case("IOP-04")
async def test_server_streaming(transport: Transport, proto: SimpleNamespace) -> None:
    request = output_request(proto, 0, *ANSWER_SIZES)
    call = transport.open(f"{SERVICE}/StreamingOutputCall", (), first=[request.SerializeToString()], timeout=20)
    for size in ANSWER_SIZES:
        assert len(proto.StreamingOutputCallResponse.FromString(await call.read() or b"").payload.body) == size
    assert await call.read() is None


@pytest.mark.case("IOP-05")
async def test_ping_pong(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/FullDuplexCall", (), timeout=20)
    for request, answer in zip(REQUEST_SIZES, ANSWER_SIZES, strict=True):
        await write(call, output_request(proto, request, answer))
        assert len(proto.StreamingOutputCallResponse.FromString(await call.read() or b"").payload.body) == answer
    await call.half_close()
    assert await call.read() is None


@pytest.mark.case("IOP-06")
async def test_empty_stream(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/FullDuplexCall", (), timeout=20)
    await call.half_close()
    assert await call.read() is None


@pytest.mark.case("IOP-08")
async def test_cancel_after_begin(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/StreamingInputCall", (), timeout=20)
    call.cancel()
    with pytest.raises(errors.ConnectionLost):
        await call.read()


@pytest.mark.case("IOP-09")
async def test_cancel_after_first_response(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/FullDuplexCall", (), timeout=20)
    await write(call, output_request(proto, REQUEST_SIZES[0], ANSWER_SIZES[0]))
    assert await call.read() is not None
    call.cancel()
    with pytest.raises(errors.ConnectionLost):
        await call.read()


@pytest.mark.case("IOP-07")
async def test_timeout_on_sleeping_server(transport: Transport, proto: SimpleNamespace) -> None:
    call = transport.open(f"{SERVICE}/FullDuplexCall", (), timeout=0.1)
    await write(call, output_request(proto, REQUEST_SIZES[0]))
    with pytest.raises(errors.DeadlineExceeded):
        await asyncio.wait_for(call.read(), 10)


@pytest.mark.case("IOP-10")
async def test_custom_metadata(transport: Transport, proto: SimpleNamespace) -> None:
    """The server echoes both; a transport hands out no metadata of answers, so only that the calls go well is seen."""
    metadata = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", "\xab\xab\xab"),
    )
    request = proto.SimpleRequest(response_size=LARGE_ANSWER, payload=proto.Payload(body=bytes(LARGE_REQUEST)))
    assert await unary(transport, "UnaryCall", request, metadata[:1] if _of_grpc(transport) else metadata)


@pytest.mark.case("IOP-11")
async def test_status_code_and_message(transport: Transport, proto: SimpleNamespace) -> None:
    echoed = proto.EchoStatus(code=2, message="test status message")
    with pytest.raises(errors.ServerError, match="test status message") as caught:
        await unary(transport, "UnaryCall", proto.SimpleRequest(response_status=echoed))
    assert caught.value.name == "UNKNOWN"
    call = transport.open(f"{SERVICE}/FullDuplexCall", (), timeout=20)
    await write(call, proto.StreamingOutputCallRequest(response_status=echoed))
    await call.half_close()
    with pytest.raises(errors.ServerError, match="test status message") as caught:
        await call.read()
    assert caught.value.name == "UNKNOWN"


@pytest.mark.case("IOP-11")
async def test_special_status_message(transport: Transport, proto: SimpleNamespace) -> None:
    text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    with pytest.raises(errors.ServerError) as caught:
        await unary(
            transport,
            "UnaryCall",
            proto.SimpleRequest(response_status=proto.EchoStatus(code=2, message=text)),
        )
    assert caught.value.name == "UNKNOWN"
    assert "test with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608" in caught.value.description


@pytest.mark.case("IOP-12", "IOP-13")
@pytest.mark.parametrize(
    "method", [f"{SERVICE}/UnimplementedCall", "/grpc.testing.UnimplementedService/UnimplementedCall"]
)
async def test_unimplemented(transport: Transport, proto: SimpleNamespace, method: str) -> None:
    with pytest.raises(errors.ServerError) as caught:
        await transport.unary(method, [b""], (), 20)
    assert caught.value.name == "UNIMPLEMENTED"


def _of_grpc(transport: Transport) -> bool:
    """Whether its metadata of -bin names has to be bytes, which the seam's type does not have."""
    return type(transport).__module__.startswith("headrace.transport.grpc")
