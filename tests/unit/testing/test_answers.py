"""What a model double may answer, and how it looks on the wire."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from headrace.testing.answers import Answer, Fail, GrpcFail, joined, one_by_one, to_output, to_response
from headrace.v2 import resources_pb2 as pb


async def listed(answers: Any) -> list[Answer]:
    return [answer async for answer in one_by_one(answers)]


def pieces() -> Iterator[str]:
    yield "a"
    yield "b"


async def late_pieces() -> AsyncGenerator[str, None]:
    yield "a"
    yield "b"


@pytest.mark.parametrize(
    "answer", ["text", [("cat", 0.9)], [], pb.Data(), pb.Output(), 11005, Fail(11005), GrpcFail("UNAVAILABLE")]
)
async def test_one_answer_is_one(answer: Answer) -> None:
    assert await listed(answer) == [answer]


async def test_several_answers_come_one_by_one() -> None:
    assert await listed(["a", "b", Fail(10020)]) == ["a", "b", Fail(10020)]
    assert await listed(pieces()) == ["a", "b"]
    assert await listed(late_pieces()) == ["a", "b"]


async def test_an_async_generator_is_closed_with_its_reader() -> None:
    closed = []

    async def endless() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "a"
        finally:
            closed.append(True)

    answers = one_by_one(endless())
    await anext(answers)
    await answers.aclose()
    assert closed


def test_several_answers_are_joined_to_one() -> None:
    assert joined(["a", "b"]) == "ab"
    assert joined([]) == ""
    assert joined([[("cat", 0.9)]]) == [("cat", 0.9)]
    assert joined(["a", Fail(10020), "b"]) == Fail(10020)
    with pytest.raises(TypeError, match="pieces of text"):
        joined(["a", pb.Data()])


async def test_what_is_no_answer_is_named() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        await listed(None)
    with pytest.raises(TypeError, match="bytes"):
        to_output(b"bytes", "one")  # type: ignore[arg-type]


def test_an_answer_becomes_an_output() -> None:
    output = to_output("text", "one")
    assert (output.data.text.raw, output.input.id, int(output.status.code)) == ("text", "one", 10000)
    concepts = to_output([("cat", 0.75)], None)
    assert [(c.name, c.value) for c in concepts.data.concepts] == [("cat", 0.75)]
    assert not concepts.HasField("input")
    assert to_output(pb.Data(text=pb.Text(raw="x")), "one").data.text.raw == "x"
    own = to_output(pb.Output(prompt_tokens=7), "one")
    assert (own.prompt_tokens, own.input.id, int(own.status.code)) == (7, "one", 10000)
    failed = to_output(Fail(30300, "bad bytes", "png"), "one")
    assert (int(failed.status.code), failed.status.description, failed.status.details) == (30300, "bad bytes", "png")
    with pytest.raises(TypeError, match="no output"):
        to_output(GrpcFail("UNAVAILABLE"), "one")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["a", "b"], 10000),
        ([], 10000),
        (["a", 30300], 10010),
        ([30300, 30300], 30300),
        ([30300, 21313], 10020),
        ([99999], 99999),
    ],
)
def test_the_envelope_follows_from_the_outputs(answers: list[Answer], code: int) -> None:
    response = to_response(answers, [str(n) for n in range(len(answers))], "request-1")
    assert int(response.status.code) == code
    assert response.status.req_id == "request-1"
    assert [output.input.id for output in response.outputs] == [str(n) for n in range(len(answers))]


def test_a_failure_can_leave_the_outputs_out() -> None:
    response = to_response(["a", Fail(21351, time_remaining=3, envelope_only=True)], ["0", "1"], "request-1")
    assert (int(response.status.code), response.status.time_remaining) == (21351, 3)
    assert response.status.description == "MODEL_DEPLOYING"
    assert not response.outputs
