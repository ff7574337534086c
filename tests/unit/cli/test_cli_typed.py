"""Answers of a model's own methods: shown as any other where they are of a known kind, else as values."""

from __future__ import annotations

from typing import Any, cast

import pytest

from headrace.cli.typed import TypedCall
from headrace.errors import InvalidRequest
from headrace.inputs import Input
from headrace.methods.signatures import Method, encode_value
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb

Type = pb.ModelTypeField


def returning(*fields: pb.ModelTypeField) -> TypedCall:
    """Make a call of a method that gives these back."""
    message = pb.MethodSignature(name="ask", method_type=cast("Any", 1), output_fields=fields)
    return TypedCall(Method.of(message), Input((), raw=b""), ())


def of(type_: int, *arguments: pb.ModelTypeField, name: str = "return") -> pb.ModelTypeField:
    return pb.ModelTypeField(name=name, type=cast("Any", type_), type_args=arguments)


def answered(*values: tuple[pb.ModelTypeField, Any]) -> Prediction:
    """Make the answer that a server gives: each value in a part of its name."""
    data = pb.Data()
    for field, value in values:
        encode_value(data.parts.add(id=field.name).data, field, value)
    return Prediction(b"raw", [pb.Output(data=data)], input_id="a", position=3)


FLOATS = of(Type.LIST, of(Type.FLOAT))
PAIR = of(Type.TUPLE, of(Type.STR), of(Type.BOOL))


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (of(Type.STR), "two\nlines\x1b[2J", "two\nlines\\x1b[2J"),
        (of(Type.STR), "", ""),
        (of(Type.INT), 42, "42"),
        (of(Type.FLOAT), 0.5, "0.5"),
        (of(Type.BOOL), False, "false"),
        (of(Type.JSON_DATA), {"a": [1, "x\x1b"]}, '{"a": [1.0, "x\\u001b"]}'),
        (of(Type.BYTES), b"12345", '"5 bytes"'),
        (FLOATS, [0.25] * 8, "vector of 8 numbers: 0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500, ..."),
        (PAIR, ("yes", True), '["yes", true]'),
        (of(Type.LIST, of(Type.CONCEPT)), [("cat", 0.5), ("dog", 0.25)], "cat\t0.5000\ndog\t0.2500"),
        (of(Type.IMAGE), b"\x89PNG\r\n\x1a\n", "picture of 8 bytes"),
    ],
)
def test_what_a_method_gives_back_is_shown(field: pb.ModelTypeField, value: Any, shown: str) -> None:
    assert returning(field).show(answered((field, value)), pretty=False) == shown


def test_several_results_are_shown_by_name() -> None:
    label, score = of(Type.STR, name="label"), of(Type.INT, name="score")
    call = returning(label, score)
    assert call.show(answered((label, "cat"), (score, 9)), pretty=False) == '{"label": "cat", "score": 9}'


def test_an_answer_looks_like_any_other() -> None:
    field = of(Type.IMAGE)
    answer = returning(field).answer(answered((field, b"picture")))
    assert (answer.image, answer.raw, answer.input_id, answer.position) == (b"picture", b"raw", "a", 3)


def test_an_answer_that_stands_inline_stays_as_it_is() -> None:
    inline = Prediction(b"", [pb.Output(data=pb.Data(string_value="hello"))])
    assert returning(of(Type.STR)).answer(inline).text == "hello"
    failed = Prediction.failed(InvalidRequest("bad"))
    assert returning(of(Type.STR)).answer(failed) is failed
