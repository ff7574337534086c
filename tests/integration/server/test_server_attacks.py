"""What strangers send: it ends nothing, keeps nobody out, and costs no more than it is worth."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from headrace.server import budget, duplex
from headrace.server.requests import MAX_FIELDS, MAX_INPUTS
from headrace.v2 import service_pb2 as pb

PREDICT = "/clarifai.api.V2/PostModelOutputs"
GENERATE = "/clarifai.api.V2/GenerateModelOutputs"
STREAM = "/clarifai.api.V2/StreamModelOutputs"
REQUEST = {":method": "POST", ":scheme": "http", ":path": PREDICT, ":authority": "x"}
GRPC = {"te": "trailers", "content-type": "application/grpc"}


async def connected(place: Path | int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a server that may be on its way back: on a socket file, or on a port."""
    async with asyncio.timeout(5):
        while True:
            try:
                if isinstance(place, int):
                    return await asyncio.open_connection("127.0.0.1", place)
                return await asyncio.open_unix_connection(place)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def send_raw(place: Path | int, headers: list[tuple[bytes, bytes]], body: bytes | None = None) -> None:
    """Send one HTTP/2 request with headers that no client would send, and wait for any reaction."""
    while not await sent_raw(place, headers, body):
        await asyncio.sleep(0.01)  # it was taken by a listener that was ending


async def sent_raw(place: Path | int, headers: list[tuple[bytes, bytes]], body: bytes | None) -> bool:
    """Send it once; tells whether the connection was there long enough."""
    reader, writer = await connected(place)
    config = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    connection.send_headers(1, headers, end_stream=body is None)
    if body is not None:
        connection.send_data(1, body, end_stream=True)
    ends = (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)
    greeted = False
    try:
        writer.write(connection.data_to_send())
        await writer.drain()
        async with asyncio.timeout(0.5):
            while data := await reader.read(65536):
                greeted = True
                if any(isinstance(event, ends) for event in connection.receive_data(data)):
                    break
    except (ConnectionError, h2.exceptions.ProtocolError):
        return greeted
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return True


def headers(changed: dict[str, bytes | None] | None = None, **more: bytes) -> list[tuple[bytes, bytes]]:
    """Make a request's headers: some of the usual ones changed or (None) left out, others added."""
    fields: dict[str, Any] = {**REQUEST, **GRPC, **(changed or {}), **more}
    return [(k.encode(), v if isinstance(v, bytes) else v.encode()) for k, v in fields.items() if v is not None]


ODD = {
    "a path that is not UTF-8": headers({":path": b"/\xff"}),
    "a long path that is not UTF-8": headers({":path": b"/clarifai.api.V2/" + b"\xfe" * 4000}),
    "an overlong encoding in the path": headers({":path": b"/\xc0\xaf"}),
    "a surrogate in the path": headers({":path": b"/\xed\xa0\x80"}),
    "an empty path": headers({":path": b""}),
    "no path": headers({":path": None}),
    "a path of one zero byte": headers({":path": b"/\x00"}),
    "no content type": headers({"content-type": None}),
    "another content type": headers({"content-type": b"text/html\xff"}),
    "GET": headers({":method": b"GET"}),
    "a method that is none": headers({":method": b"\xff\xfe"}),
    "an authority that is not UTF-8": headers({":authority": b"\xff"}),
    "a value that is not UTF-8": headers(authorization=b"Key \xff\xfe"),
    "a request id prefix that is not UTF-8": headers({"x-clarifai-request-id-prefix": b"\xff\xfe"}),
    "a name that is not ASCII": [*headers(), (b"x-\xff", b"y")],
    "a binary header that is no base64": headers({"x-thing-bin": b"\xff\xff!"}),
    "huge metadata": headers(big=b"x" * 60_000),
    "a timeout that is none": headers({"grpc-timeout": b"\xff"}),
    "an encoding that is none": headers({"grpc-encoding": b"\xff"}),
}


@pytest.mark.parametrize("odd", ODD, ids=list(ODD))
async def test_no_odd_header_stops_the_server(serve: Any, tmp_path: Path, odd: str) -> None:
    stub = await serve()
    await stub.predict(stub.request("before"))
    for body in (None, b"\x00\x00\x00\x00\x00"):
        await send_raw(tmp_path / "s", ODD[odd], body)
    began = time.monotonic()
    response = await stub.predict(stub.request("after"), timeout=10, wait_for_ready=True)
    assert response.outputs[0].data.text.raw == "after"
    assert time.monotonic() - began < 5


async def test_a_server_on_a_port_is_back_within_a_second(serve: Any) -> None:
    stub = await serve(unix=None)
    port = int(stub.running.address.rpartition(":")[2])
    seconds = []
    for _ in range(3):
        await send_raw(port, ODD["a path that is not UTF-8"])
        began = time.monotonic()
        soon = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", soon) as channel:
            predict = channel.unary_unary(
                PREDICT, pb.PostModelOutputsRequest.SerializeToString, pb.MultiOutputResponse.FromString
            )
            response = await predict(stub.request("after"), timeout=10, wait_for_ready=True)
        seconds.append(time.monotonic() - began)
        assert response.outputs[0].data.text.raw == "after"
    assert min(seconds) < 1


async def test_a_call_that_runs_outlives_the_listener(serve: Any, tmp_path: Path, caplog: Any) -> None:
    stub = await serve()
    running = stub.stream()
    await running.write(stub.request("one"))
    assert (await running.read()).outputs[0].data.text.raw == "one"
    for _ in range(3):
        await send_raw(tmp_path / "s", ODD["a path that is not UTF-8"])
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
        predict = channel.unary_unary(
            PREDICT, pb.PostModelOutputsRequest.SerializeToString, pb.MultiOutputResponse.FromString
        )
        assert (await predict(stub.request("new"), timeout=10, wait_for_ready=True)).status.code == 10000
    await running.write(stub.request("two"))
    assert (await running.read()).outputs[0].data.text.raw == "two"
    running.cancel()
    assert "listening on" in caplog.text


async def raw_call(stub: Any, method: str, messages: Any, metadata: Any = None) -> list[pb.MultiOutputResponse]:
    """Send bytes as messages on a stream of any method, and give what is answered."""
    call = stub.channel.stream_stream(method, None, pb.MultiOutputResponse.FromString)(messages, metadata=metadata)
    return [response async for response in call]


EMPTY_INPUT = b"\x22\x00"
MANY = {
    "inputs": pb.PostModelOutputsRequest(model_id="echo").SerializeToString() + EMPTY_INPUT * 5_000_000,
    "just too many inputs": pb.PostModelOutputsRequest(model_id="echo").SerializeToString()
    + EMPTY_INPUT * (MAX_INPUTS + 1),
    "what is in one input": b"",
    "unknown fields": b"\xf8\x07\x00" * (MAX_FIELDS + 1),
    "unknown messages": b"\xfa\x07\x00" * (MAX_FIELDS + 1),
}


def _concepts() -> bytes:
    request = pb.PostModelOutputsRequest(model_id="echo")
    request.inputs.add().data.concepts.add()
    inner = request.inputs[0].data.SerializeToString() * 2_000_000
    data = b"\x12" + _varint(len(inner)) + inner
    return b"\x22" + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


MANY["what is in one input"] = _concepts()


@pytest.mark.parametrize("method", [PREDICT, GENERATE, STREAM])
@pytest.mark.parametrize("many", MANY, ids=list(MANY))
async def test_a_request_is_counted_before_it_becomes_objects(serve: Any, many: str, method: str) -> None:
    stub = await serve()
    await stub.predict(stub.request("warm"))

    async def messages() -> AsyncIterator[bytes]:
        yield MANY[many]

    longest = []
    for _ in range(3):
        with watched() as held:
            (response,) = await raw_call(stub, method, messages())
        assert response.status.code == 11102
        assert not response.outputs
        longest.append(max(held))
    assert min(longest) < 0.1  # it was 57 seconds


@contextlib.contextmanager
def watched() -> Iterator[list[float]]:
    """Watch how long the event loop is held up at a time, in seconds of the processor; a neighbour's do not count."""
    held = [0.0]

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.002)
            held.append(time.thread_time() - began)

    watching = asyncio.create_task(watch())
    try:
        yield held
    finally:
        watching.cancel()


async def test_a_stranger_is_refused_before_anything_is_read(serve: Any) -> None:
    stub = await serve(require_pat="secret")
    read = 0

    async def messages() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield bytes(1 << 20)

    for method in (PREDICT, GENERATE, STREAM, "/clarifai.api.V2/GetModel"):
        call = stub.channel.stream_stream(method, None, pb.MultiOutputResponse.FromString)(messages())
        response = await call.read()
        assert response.status.code == 11008
        assert response.status.details == "Invalid API key or Invalid API key/application pair"
        call.cancel()
    assert read < 40


async def test_strangers_and_silent_streams_take_no_place(serve: Any) -> None:
    stub = await serve(require_pat="secret", max_calls=2)
    known = [("authorization", "Key secret")]
    silent = [stub.stream() for _ in range(8)]
    waiting = [stub.stream(metadata=known) for _ in range(8)]
    for call in silent:
        assert (await call.read()).status.code == 11008
    assert (await stub.predict(stub.request("hi"), metadata=known)).status.code == 10000
    for call in (*silent, *waiting):
        call.cancel()


async def test_a_stream_that_sends_nothing_is_ended(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplex, "FIRST_REQUEST_SECONDS", 0.2)
    stub = await serve()
    silent = stub.stream()
    talking = stub.stream()
    await talking.write(stub.request("one"))
    async with asyncio.timeout(10):
        assert (await talking.read()).status.code == 10000
        with pytest.raises(grpc.aio.AioRpcError, match="has sent nothing for"):
            await silent.read()
        await talking.write(stub.request("two"))  # it has shown itself, and may be silent as long as it likes
        assert (await talking.read()).outputs[0].data.text.raw == "two"
        await talking.done_writing()
        assert await talking.read() is grpc.aio.EOF


async def test_places_come_back_however_a_call_ends(serve: Any) -> None:
    stub = await serve(max_calls=3)
    for _ in range(5):
        calls = [stub.predict(stub.request("x" * 100_000, delay=30)) for _ in range(3)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(10):
        while (await stub.predict(stub.request("hi"))).status.code != 10000:
            await asyncio.sleep(0.05)
        responses = await asyncio.gather(*(stub.predict(stub.request("hi", delay=0.1)) for _ in range(3)))
    assert [response.status.code for response in responses] == [10000] * 3


async def test_a_message_that_is_no_request_fails_alone(serve: Any) -> None:
    stub = await serve()
    broken = stub.request("xy").SerializeToString().replace(b"xy", b"\xff\xfe")

    async def messages() -> AsyncIterator[bytes]:
        for data in (
            b"\xff\xff",
            stub.request("one").SerializeToString(),
            broken,
            stub.request("two").SerializeToString(),
        ):
            yield data

    responses = await raw_call(stub, STREAM, messages())
    assert [response.status.code for response in responses] == [11100, 10000, 11100, 10000]
    assert "UTF-8" in responses[2].status.details


async def test_an_answer_over_the_limit_is_that_inputs_own_error(serve: Any) -> None:
    class Large:
        def predict(self, item: Any) -> str:
            return "x" * int(item.text)

    stub = await serve(Large)
    response = await stub.predict(stub.request("3", str(140 << 20), "5", model="large"))
    assert [output.status.code for output in response.outputs] == [10000, 11102, 10000]
    echoed = await stub.predict(stub.request("x" * 50_000, repeat=10_000))
    assert echoed.status.code == 11102


@pytest.mark.parametrize("method", ["predict", "generate"])
async def test_the_bytes_of_all_requests_are_bounded(serve: Any, method: str) -> None:
    held, peak = 0, 0

    class Holding:
        async def predict(self, item: Any) -> str:
            nonlocal held, peak
            held += len(item.text)
            peak = max(peak, held)
            await asyncio.sleep(0.02)
            held -= len(item.text)
            return "done"

        async def generate(self, item: Any) -> AsyncIterator[str]:
            yield await self.predict(item)

    stub = await serve(Holding, max_request_mb=1)
    request = stub.request("x" * 600_000, model="holding")

    async def call() -> int:
        answer = await stub.predict(request) if method == "predict" else await stub.generate(request).read()
        return int(answer.status.code)

    assert await asyncio.gather(*(call() for _ in range(12))) == [10000] * 12
    assert peak == 600_000


async def test_a_call_that_waits_for_room_is_refused_in_time(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.1)
    stub = await serve(max_request_mb=1)
    held = stub.predict(stub.request("x" * 600_000, delay=30))
    await asyncio.sleep(0.1)
    for call in (stub.predict, stub.generate):
        answer = call(stub.request("x"))
        refused = await (answer if call is stub.predict else answer.read())
        assert (refused.status.code, refused.status.details) == (11005, "the server is busy with large requests")
    held.cancel()
    async with asyncio.timeout(10):
        while (await stub.predict(stub.request("hi"))).status.code != 10000:
            await asyncio.sleep(0.05)


async def test_who_stops_in_the_middle_of_a_request_makes_room(serve: Any, tmp_path: Path) -> None:
    stub = await serve(max_request_mb=1)
    for _ in range(3):  # the first bytes of a request, and then nobody
        reader, writer = await connected(tmp_path / "s")
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        connection.initiate_connection()
        connection.send_headers(1, headers(), end_stream=False)
        connection.send_data(1, b"\x00\x00\x10\x00\x00abc")
        writer.write(connection.data_to_send())
        await writer.drain()
        await reader.read(100)
        writer.transport.abort()
    assert (await stub.predict(stub.request("hi"), timeout=10)).status.code == 10000
