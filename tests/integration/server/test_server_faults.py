"""Fault scripts on a real server: what a client sees."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from headrace.server.app import serving
from headrace.server.fault_file import parse
from headrace.server.model import Item
from headrace.server.options import Options
from headrace.v2 import service_pb2 as pb


@pytest.fixture
def faulty(serve: Any, tmp_path: Path) -> Any:
    """Give a function that starts a server with a fault script."""

    async def start(script: str, *classes: type, **options: Any) -> Any:
        (tmp_path / "faults.toml").write_text(script)
        return await serve(*classes, faults=tmp_path / "faults.toml", **options)

    return start


async def answers(call: Any) -> list[tuple[int, str, str]]:
    """All answers of a stream, as (code, input id, text)."""
    found = []
    while (response := await call.read()) is not grpc.aio.EOF:
        outputs = response.outputs or [None]
        found += [(response.status.code, *((o.input.id, o.data.text.raw) if o else ("", ""))) for o in outputs]
    return found


async def test_a_code_refuses_a_call_and_hints_at_when_to_come_back(faulty: Any) -> None:
    stub = await faulty("[[rule]]\ncalls = 1\ncode = 21351\ntime_remaining = 3\nmetadata = { retry-after = '3' }")
    call = stub.predict(stub.request("a"))
    response = await call
    assert (response.status.code, response.status.time_remaining) == (21351, 3)
    assert ("retry-after", "3") in [(k, v) for k, v in await call.trailing_metadata()]
    assert (await stub.predict(stub.request("a"))).status.code == 10000


async def test_a_grpc_code_ends_a_call(faulty: Any) -> None:
    stub = await faulty("[[rule]]\ncalls = 1\ngrpc = 'UNAVAILABLE'\ndetails = 'gone'\nmetadata = { a = 'b' }")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.predict(stub.request("a"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "gone")
    assert ("a", "b") in [(k, v) for k, v in caught.value.trailing_metadata()]
    assert (await stub.predict(stub.request("a"))).status.code == 10000


async def test_one_input_of_a_batch_fails(faulty: Any) -> None:
    stub = await faulty("[[rule]]\ninputs = [2]\ncode = 30002")
    response = await stub.predict(stub.request("a", "b", "c"))
    assert response.status.code == 10010
    assert [o.status.code for o in response.outputs] == [10000, 30002, 10000]


async def test_a_delay_holds_a_call_up(faulty: Any) -> None:
    stub = await faulty("[[rule]]\nmethod = 'predict'\ncalls = 2\ndelay = 0.4")
    await stub.predict(stub.request("a"))
    began = time.monotonic()
    await stub.predict(stub.request("a"))
    assert time.monotonic() - began >= 0.4


async def test_a_stalled_call_never_answers(faulty: Any) -> None:
    stub = await faulty("[[rule]]\nmethod = 'predict'\nstall = 'answer'")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.predict(stub.request("a"), timeout=0.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stalled_input_of_a_stream_is_never_answered_and_the_others_are(faulty: Any) -> None:
    stub = await faulty("[[rule]]\nmethod = 'stream'\ninputs = 2\nstall = 'answer'")
    call = stub.stream()
    for name in "abc":
        await call.write(stub.request(name, ids=name))
    await call.done_writing()
    assert await answers(call) == [(10000, "a0", "a"), (10000, "c0", "c")]


@pytest.mark.parametrize("kind", ["code = 99009", "grpc = 'UNAVAILABLE'"])
async def test_a_token_stream_breaks_after_some_answers(faulty: Any, kind: str) -> None:
    stub = await faulty(f"[[rule]]\nmethod = 'generate'\nafter_answers = 2\n{kind}")
    call = stub.generate(stub.request("one two three four"))
    texts = [(await call.read()).outputs[0].data.text.raw for _ in range(2)]
    assert texts == ["one", " two"]
    if kind.startswith("code"):
        assert (await call.read()).status.code == 99009
        assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("own", [False, True])
async def test_a_duplex_stream_breaks_at_an_input(faulty: Any, own: bool) -> None:
    stub = await faulty("[[rule]]\nmethod = 'stream'\ninputs = 3\ngrpc = 'INTERNAL'\ntimes = 1", Own)
    model = "own" if own else "echo"
    call = stub.stream()
    for name in "abc":
        await call.write(stub.request(name, ids=name, model=model))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(call)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    again = stub.stream()
    for name in "abc":
        await again.write(stub.request(name, ids=name, model=model))
    await again.done_writing()
    assert len(await answers(again)) == 3


class Own:
    """Has a stream of its own."""

    async def stream(self, items: Any) -> Any:
        async for item in items:
            assert isinstance(item, Item)
            yield item.text


async def test_a_server_that_never_reads_lets_little_in(faulty: Any) -> None:
    stub = await faulty("[[rule]]\nmethod = 'stream'\nstall = 'read'")
    call = stub.stream()
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await call.write(stub.request("x" * 100_000))
            written += 1

    writer = asyncio.create_task(write())
    before = -1
    while written != before:
        before = written
        await asyncio.sleep(0.4)
    assert written <= 4
    writer.cancel()
    call.cancel()
    await asyncio.gather(writer, return_exceptions=True)


async def test_a_server_may_answer_after_the_last_input_only_and_without_ids(faulty: Any) -> None:
    stub = await faulty("[server]\nanswers_after_last_input = true\necho_input_ids = false")
    call = stub.stream()
    for name in "abc" * 10:
        await call.write(stub.request(name, ids=name))
    first = asyncio.create_task(call.read())
    await asyncio.sleep(0.3)
    assert not first.done()
    await call.done_writing()
    assert (await first).outputs[0].HasField("input") is False
    assert len(await answers(call)) == 29


async def test_throttling_and_warming_up_are_envelopes(faulty: Any) -> None:
    stub = await faulty("[throttle]\nrequests_per_second = 0.001\nburst = 3\n[warm_up]\nseconds = 600")
    found = [(await stub.predict(stub.request("a"))).status for _ in range(4)]
    assert [s.code for s in found] == [21351, 21351, 21351, 11005]
    assert 590 <= found[0].time_remaining <= 600
    assert "0.001 requests per second" in found[3].details


async def test_the_listing_methods_may_fail_too(faulty: Any) -> None:
    stub = await faulty("[[rule]]\nmethod = 'ListModels'\ncode = 11001\ncalls = 1")
    assert (await stub.call["ListModels"](pb.ListModelsRequest())).status.code == 11001
    assert (await stub.call["ListModels"](pb.ListModelsRequest())).status.code == 10000


async def test_max_concurrent_streams_makes_calls_queue(faulty: Any) -> None:
    stub = await faulty("[server]\nmax_concurrent_streams = 2")
    held = [stub.stream() for _ in range(2)]
    for call in held:
        await call.write(stub.request("a"))
        await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.predict(stub.request("a"), timeout=0.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    held[0].cancel()
    assert (await stub.predict(stub.request("a"), timeout=10)).status.code == 10000


async def test_a_connection_ends_at_its_age(faulty: Any) -> None:
    stub = await faulty("[server]\nmax_connection_age_ms = 300\nmax_connection_age_grace_ms = 300")
    call = stub.stream()
    await call.write(stub.request("a"))
    await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_connection_is_reset_at_a_message_by_the_proxy_in_front(tmp_path: Path, tcp: bool) -> None:
    script = parse("[[connections]]\nreset_at_message = 3\ndirection = 'to_client'")
    options = Options(models=("echo",), unix=None if tcp else tmp_path / "s")
    async with (
        serving(options, script=script) as running,
        grpc.aio.insecure_channel(running.address.removeprefix("http://")) as channel,
    ):
        call = channel.unary_unary(
            "/clarifai.api.V2/ListModels", pb.ListModelsRequest.SerializeToString, pb.MultiModelResponse.FromString
        )
        for _ in range(2):
            assert (await call(pb.ListModelsRequest())).status.code == 10000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(pb.ListModelsRequest())
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        ready = grpc.ChannelConnectivity.READY
        while channel.get_state() is ready:  # a call made before gRPC has seen the end goes the same way
            await channel.wait_for_state_change(ready)
        assert (await call(pb.ListModelsRequest(), wait_for_ready=True, timeout=20)).status.code == 10000
        if not tcp:
            assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "s").exists()
