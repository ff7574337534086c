"""The benchmarks run: their server answers every shape, and a round of the harness gives figures. No time is judged."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterable, Iterator
from pathlib import Path

import grpc.aio
import pytest

from benchmarks import instructions
from benchmarks.cells import CELLS, Cell
from benchmarks.figures import Spread, rows, verdicts
from benchmarks.goals import GOALS, Goal, Run, cost_ratio
from benchmarks.harness import PlacedSample, own_peers, pairs, run
from benchmarks.protocol import Sample
from benchmarks.regression import print_table
from benchmarks.report import BEGIN, END, markdown, report, samples_of, update
from benchmarks.server import Port, serve
from benchmarks.server.answers import ENVELOPE, OUTPUT, TOKEN, clarifai
from benchmarks.server.build import NoCompiler, executable
from headrace.codec import GENERATE, PREDICT, STREAM
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

CODECS = (rpc.PostModelOutputsRequest.SerializeToString, rpc.MultiOutputResponse.FromString)
UNLIMITED = [("grpc.max_receive_message_length", -1)]
PORTS = {
    **clarifai(),
    "few": Port("server_stream", TOKEN, messages=5, interval_ms=1),
    "slow_unary": Port("unary", ENVELOPE, OUTPUT, delay_ms=5),
}


@pytest.fixture(scope="module")
def compiled() -> Path:
    try:
        return executable()
    except NoCompiler as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["compiled", "grpc.aio"])
def addresses(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "compiled":
        request.getfixturevalue("compiled")
    with serve(PORTS, compiled=request.param == "compiled") as found:
        yield found


def asked(inputs: int = 1, size: int = 10) -> rpc.PostModelOutputsRequest:
    data = pb.Data(image=pb.Image(base64=bytes(size)))
    return rpc.PostModelOutputsRequest(model_id="m", inputs=[pb.Input(id=str(n), data=data) for n in range(inputs)])


@pytest.mark.parametrize("port", ["unary", "slow_unary"])
async def test_unary_calls_get_an_output_for_each_input(addresses: dict[str, str], port: str) -> None:
    async with grpc.aio.insecure_channel(addresses[port]) as channel:
        predict = channel.unary_unary(PREDICT, *CODECS)
        answers = await asyncio.gather(*(predict(asked(1 + n % 4)) for n in range(64)))
    assert [len(answer.outputs) for answer in answers] == [1 + n % 4 for n in range(64)]
    assert [len(answer.outputs[0].data.concepts) for answer in answers] == [5] * 64


async def test_large_messages_pass_both_ways(addresses: dict[str, str]) -> None:
    async with grpc.aio.insecure_channel(addresses["unary"], options=UNLIMITED) as channel:
        predict = channel.unary_unary(PREDICT, *CODECS)
        up = await asyncio.gather(*(predict(asked(size=9 << 20)) for _ in range(3)))
        down = await predict(asked(inputs=60_000, size=0))
    assert [len(answer.outputs) for answer in up] == [1] * 3
    assert len(down.outputs) == 60_000  # 10 MB: more than the client's first windows


@pytest.mark.parametrize(("port", "messages"), [("burst", 200), ("few", 5)])
async def test_a_server_stream_has_all_its_messages(addresses: dict[str, str], port: str, messages: int) -> None:
    async with grpc.aio.insecure_channel(addresses[port]) as channel:
        generate = channel.unary_stream(GENERATE, *CODECS)
        left = generate(asked())
        await left.read()
        left.cancel()
        counts = await asyncio.gather(*(count(generate(asked())) for _ in range(8)))
    assert counts == [messages] * 8


async def count(call: AsyncIterable[rpc.MultiOutputResponse]) -> int:
    return len([answer.outputs[0].data.text.raw async for answer in call])


async def test_a_duplex_stream_answers_while_inputs_come(addresses: dict[str, str]) -> None:
    async with grpc.aio.insecure_channel(addresses["duplex"]) as channel:
        call = channel.stream_stream(STREAM, *CODECS)()
        for inputs in (1, 3, 128):
            await call.write(asked(inputs))
            answer = await call.read()
            assert isinstance(answer, rpc.MultiOutputResponse)
            assert len(answer.outputs) == inputs
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


def test_the_server_ends_with_whoever_started_it(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    with subprocess.Popen([compiled, tmp_path / "config"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"{}\n"
        server.stdin.close()  # as its starter's death does
        assert server.wait(timeout=10) == 0


def test_a_round_gives_figures_for_every_client(compiled: Path) -> None:
    cell = Cell("unary-64", "unary", "unary", 50, 50, 4)
    own = {
        name: peer
        for name, peer in own_peers().items()
        if name in ("raw", "headrace-h2", "headrace-grpc", "headrace-blocking")
    }
    taken, failed = run(pairs([cell], own), 1, quick=True, say=lambda _text: None)
    assert not failed
    found = json.loads(json.dumps(report(taken, failed, 1, quick=True)))
    assert {row["peer"] for row in found["rows"]} == {"raw", "headrace-h2", "headrace-grpc", "headrace-blocking"}
    assert all(row["microseconds"]["median"] > 0 and row["per_second"]["median"] > 0 for row in found["rows"])
    assert {"date", "commit", "machine", "python", "versions", "samples", "goals"} <= set(found)
    assert "grpcio" not in found["versions"]["headrace-h2"]
    judged = [goal for goal in found["goals"] if goal["found"]]
    assert [goal["title"] for goal in judged] == ["unary, 64 at once"]
    again = samples_of(found)
    assert again == taken
    assert "| unary-64 | headrace-h2 |" in markdown(found, verdicts(GOALS, again), rows(again))


def sample(cpu_s: float) -> Sample:
    return Sample("any", "unary", 100, cpu_s, 1.0)


def taken(peer: str, *costs: float) -> list[PlacedSample]:
    return [PlacedSample(number, "unary-64", peer, sample(cost)) for number, cost in enumerate(costs)]


def test_ratios_are_taken_within_a_round() -> None:
    goal = Goal("any", Run("unary-64"), Run("unary-64", "raw"), cost_ratio, 1.0, "x", "none")
    [verdict] = verdicts([goal], [*taken("raw", 1, 10, 100), *taken("headrace-h2", 2, 5, 90)])
    assert verdict.found == Spread(0.9, 0.5, 0.7, 1.45, 2.0, 3)
    assert verdict.met


def test_a_goal_without_samples_is_neither_met_nor_missed() -> None:
    assert {verdict.met for verdict in verdicts(GOALS, taken("raw", 1))} == {None}


@pytest.mark.parametrize(("after", "code"), [((1.3, 1.2, 1.4), 1), ((1.3, 1.2, 0.8), 0), ((1.05, 1.06, 1.07), 0)])
def test_a_regression_is_worse_than_the_tolerance_and_the_spread(after: tuple[float, ...], code: int) -> None:
    assert print_table([*taken("before", 1, 1, 1), *taken("after", *after)], tolerance=1.1) == code


def test_only_the_block_between_the_markers_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"prose\n{BEGIN}\nold\n{END}\nmore\n")
    for block in ("new", "newer"):
        update(document, block)
    assert document.read_text() == f"prose\n{BEGIN}\nnewer\n{END}\nmore\n"
    document.write_text("prose\n")
    with pytest.raises(ValueError, match="lacks"):
        update(document, "block")


def test_goals_name_cells_and_clients_that_are_measured() -> None:
    cells = {cell.name: cell for cell in CELLS}
    own = own_peers()
    for goal in GOALS:
        for one in (goal.ours, goal.against):
            if one is not None and one.peer in own:
                assert pairs([cells[one.cell]], {one.peer: own[one.peer]}), goal.title


def test_instructions_are_read_from_the_report_of_valgrind() -> None:
    assert instructions.total("==7== Cachegrind\n==7== \n==7== I refs:        1,211,004,567\n") == 1_211_004_567
    with pytest.raises(instructions.Failed, match="no cell of this name"):
        instructions.total("Traceback\nValueError: no cell of this name\n")


def test_counting_without_valgrind_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt install valgrind"):
        instructions.main([])


def test_a_unit_is_the_difference_of_two_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def count(cell: Cell, peer: object, address: str, n: int) -> int:
        counted.append(n)
        return 1_000_000 + 50 * n

    monkeypatch.setattr(instructions, "count", count)
    cell = next(cell for cell in CELLS if cell.name == "unary-64")
    assert instructions.per_unit(cell, own_peers()["headrace-h2"], "") == 50
    assert counted == [4 * cell.quick, 2 * cell.quick]
