"""Typed methods: signatures as text, binding of arguments, and every type there and back."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Concept, Frame, Region, codec
from headrace.codec import requests
from headrace.errors import ConfigError, PredictionFailed
from headrace.methods.signatures import METHOD_KEY, Method, decode_value, encode_value, from_json, type_name
from headrace.v2 import resources_pb2 as pb

T = pb.ModelTypeField.DataType


def field(kind: str, *inner: pb.ModelTypeField, name: str = "x", **more: Any) -> pb.ModelTypeField:
    return pb.ModelTypeField(name=name, type=kind, type_args=inner, **more)


STR, INT, FLOAT, CONCEPT = field("STR"), field("INT"), field("FLOAT"), field("CONCEPT")
METHOD = Method.of(
    pb.MethodSignature(
        name="predict",
        method_type=1,  # type: ignore[arg-type]
        description="Say it.",
        input_fields=[
            field("STR", name="prompt", required=True),
            field("INT", name="times", default="1"),
            field("LIST", CONCEPT, name="tags"),
        ],
        output_fields=[field("STR", name="return")],
    )
)


def there_and_back(kind: pb.ModelTypeField, value: Any) -> Any:
    data = pb.Data()
    encode_value(data, kind, value)
    return decode_value(pb.Data.FromString(data.SerializeToString()), kind)


BOX = Region(0.25, 0.5, 0.75, 1.0, 0.5, (Concept("dog", 0.5, "d"),), b"png", "text", "track")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (STR, "grüß"),
        (field("BYTES"), b"\x00\xff"),
        (INT, -(2**40)),
        (FLOAT, 0.5),
        (field("BOOL"), True),
        (field("TEXT"), "words"),
        (field("IMAGE"), b"png"),
        (field("IMAGE"), "https://h/x.png"),
        (field("AUDIO"), b"wav"),
        (field("VIDEO"), "http://h/v"),
        (CONCEPT, Concept("cat", 0.5, "c")),
        (field("REGION"), BOX),
        (field("FRAME"), Frame(3, 1500, (Concept("cat", 0.5),), (BOX,))),
        (field("JSON_DATA"), {"a": [1.0, None, {"b": True}], "c": "x"}),
        (field("JSON_DATA"), [1.0, "x"]),
        (field("LIST", STR), ["a", "b"]),
        (field("LIST", STR), []),
        (field("LIST", CONCEPT), [Concept("a", 0.5), Concept("b", 0.25)]),
        (field("LIST", field("LIST", INT)), [[1], [], [2, 3]]),
        (field("TUPLE", STR, INT), ("a", 5)),
        (field("NAMED_FIELDS", field("STR", name="a"), field("INT", name="b")), {"a": "x", "b": 2}),
    ],
)
def test_every_type_goes_there_and_back(kind: pb.ModelTypeField, value: Any) -> None:
    assert there_and_back(kind, value) == value


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8", "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_arrays_go_there_and_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    found = there_and_back(field("NDARRAY"), array)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_pairs_stand_for_concepts_and_buffers_for_bytes() -> None:
    assert there_and_back(field("LIST", CONCEPT), [("a", 0.5)]) == [Concept("a", 0.5)]
    assert there_and_back(field("BYTES"), memoryview(b"x")) == b"x"
    assert there_and_back(FLOAT, 3) == 3.0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (STR, 5),
        (STR, b"x"),
        (STR, "\ud800"),
        (INT, "5"),
        (INT, True),
        (INT, 2**70),
        (FLOAT, "x"),
        (field("BOOL"), 1),
        (field("TEXT"), 5),
        (field("IMAGE"), "no-url"),
        (field("AUDIO"), 5),
        (CONCEPT, 5),
        (CONCEPT, ("a", "b")),
        (field("JSON_DATA"), 5),
        (field("JSON_DATA"), "text"),
        (field("JSON_DATA"), {"a": object()}),
        (field("JSON_DATA"), {"a": math.nan}),
        (field("NDARRAY"), ["a"]),
        (field("NDARRAY"), [[1], [1, 2]]),
        (field("LIST", STR), "abc"),
        (field("LIST", STR), 5),
        (field("LIST", STR), [5]),
        (field("TUPLE", STR, INT), ("a",)),
        (field("TUPLE", STR, INT), 5),
        (field("NAMED_FIELDS", field("STR", name="a")), {}),
        (field("NAMED_FIELDS", field("STR", name="a")), 5),
        (pb.ModelTypeField(type=999), "x"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_is_named_with_the_signature(kind: pb.ModelTypeField, value: Any) -> None:
    method = Method.of(
        pb.MethodSignature(name="m", method_type=1, input_fields=[kind])  # type: ignore[arg-type]
    )
    [parameter] = method.parameters
    with pytest.raises(ConfigError, match=r"argument .*m\("):
        method.encode({parameter.name: value})


def test_a_list_of_nothing_is_the_models_mistake() -> None:
    with pytest.raises(PredictionFailed, match="list of nothing"):
        encode_value(pb.Data(), field("LIST"), ["a"])


KINDS = st.recursive(
    st.sampled_from([pb.ModelTypeField(name="a", type=number) for number in (*T.values(), 999)]),  # type: ignore[arg-type]
    lambda inner: st.builds(
        lambda kind, arguments: field(kind, *arguments, name="b"),
        st.sampled_from(["LIST", "TUPLE", "NAMED_FIELDS"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)


def _data(text: str, number: float, depth: int) -> pb.Data:
    data = pb.Data(string_value=text, int_value=5, float_value=1.0, ndarray=pb.NDArray(dtype=text, buffer=b"abc"))
    data.struct_value["a"] = number
    data.concepts.add(name=text)
    for index in range(depth):
        data.parts.add(id="ab"[index % 2]).data.CopyFrom(_data(text, number, depth - 1))
    return data


@given(
    KINDS,
    st.builds(
        _data,
        st.sampled_from(["", "x", "{", "[1]", "float32", "O", "i3", "<U5"]),
        st.sampled_from([1.0, math.nan, math.inf]),
        st.integers(0, 3),
    ),
)
def test_any_answer_is_read_or_refused(kind: pb.ModelTypeField, data: pb.Data) -> None:
    try:
        decode_value(data, kind)
    except PredictionFailed:
        pass


NAMES = st.sampled_from(["a", "name", "method_type", "input_fields", "type"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(st.text(max_size=50) | VALUES.map(json.dumps))
def test_any_signatures_are_read_or_refused(text: str) -> None:
    try:
        from_json(text)
    except PredictionFailed:
        pass


# -- signatures


def test_a_signature_as_text() -> None:
    assert str(METHOD) == "predict(prompt: str, times: int = 1, tags: list[Concept]) -> str"
    nested = field("TUPLE", field("LIST", field("NAMED_FIELDS", field("INT", name="n"))), field("NDARRAY"))
    assert type_name(nested) == "tuple[list[{n: int}], ndarray]"
    stream = Method.of(
        pb.MethodSignature(
            name="s",
            method_type=4,  # type: ignore[arg-type]
            input_fields=[field("STR", name="k"), field("IMAGE", name="frames", iterator=True)],
            output_fields=[field("STR", iterator=True)],
        )
    )
    assert str(stream) == "s(k: str, frames: Iterator[Image]) -> Iterator[str]"
    assert stream.shape == "duplex"
    assert stream.streamed is not None
    assert stream.streamed.name == "frames"
    assert METHOD.streamed is None


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(PredictionFailed, match="unknown type 77"):
        Method.of(pb.MethodSignature(name="m", method_type=77))  # type: ignore[arg-type]


def test_signatures_as_json() -> None:
    given_ = {"name": "m", "method_type": 1, "new_field": 5, "input_fields": [{"name": "a", "type": 1}]}
    [method] = from_json(json.dumps({"m": given_}))
    assert (method.name, method.shape, [p.name for p in method.parameters]) == ("m", "unary", ["a"])


def test_arguments_get_their_names() -> None:
    assert METHOD.bind(("a",), {"times": 2}) == {"prompt": "a", "times": 2}
    for args, kwargs, named in (
        ((), {}, "prompt missing"),
        (("a", 1, [], 5), {}, "takes 3 arguments, 4 were given"),
        (("a",), {"prompt": "b"}, "prompt given twice"),
        (("a",), {"time": 2}, "no argument time"),
    ):
        with pytest.raises(ConfigError, match=named) as caught:
            METHOD.bind(args, kwargs)
        assert str(METHOD) in str(caught.value)


def test_a_request_has_its_arguments_as_parts() -> None:
    data = METHOD.encode({"prompt": "a", "times": None, "tags": [("t", 0.5)]})
    assert data.metadata[METHOD_KEY] == "predict"
    assert [part.id for part in data.parts] == ["prompt", "tags"]
    assert data.parts[0].data.string_value == "a"


def test_an_answer_is_a_part_or_stands_inline() -> None:
    assert METHOD.decode(pb.Data(parts=[pb.Part(id="return", data=pb.Data(string_value="x"))])) == "x"
    assert METHOD.decode(pb.Data(string_value="x")) == "x"
    two = Method.of(
        pb.MethodSignature(
            name="m",
            method_type=1,  # type: ignore[arg-type]
            output_fields=[field("STR", name="a"), field("INT", name="b")],
        )
    )
    parts = [pb.Part(id="a", data=pb.Data(string_value="x")), pb.Part(id="b", data=pb.Data(int_value=2))]
    assert two.decode(pb.Data(parts=parts)) == {"a": "x", "b": 2}
    with pytest.raises(PredictionFailed, match="has no b"):
        two.decode(pb.Data(parts=parts[:1]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (field("REGION"), Region(0, 0, 0, 0, 0.5, id="r1", point=(0.25, 0.75))),
        (field("FRAME"), Frame(3, 120, image=b"\x89PNG", text="a caption")),
        (field("LIST", field("FRAME")), [Frame(0, 0, regions=(Region(0, 0, 1, 1, 0.5, id="r"),), image=b"\x89PNG")]),
    ],
)
def test_no_part_of_a_view_is_lost(kind: pb.ModelTypeField, value: Any) -> None:
    assert there_and_back(kind, value) == value


@pytest.mark.parametrize(
    "kind",
    [
        field("LIST", field("IMAGE")),
        field("LIST", field("LIST", field("IMAGE"))),
        field("TUPLE", field("IMAGE"), field("STR")),
        field("NAMED_FIELDS", field("IMAGE", name="picture")),
    ],
)
def test_pictures_may_stand_in_lists_and_tuples_and_dicts(kind: pb.ModelTypeField) -> None:
    picture = pytest.importorskip("PIL.Image").new("RGB", (2, 2))
    values: dict[int, Any] = {T.TUPLE: (picture, "x"), T.NAMED_FIELDS: {"picture": picture}}
    nested = kind.type_args[0].type == T.LIST
    sent = there_and_back(kind, values.get(kind.type, [[picture]] if nested else [picture]))
    assert b"PNG" in (sent["picture"] if isinstance(sent, dict) else sent[0][0] if nested else sent[0])


@pytest.mark.parametrize(
    "value",
    [3, object(), {"a": 1}, "no url", [1], b"", None, 10**400, {"deep": 2**53 + 1}, "\ud800", math.nan, lambda: 1],
)
@pytest.mark.parametrize(
    "kind", [field(k) for k in ("IMAGE", "AUDIO", "FLOAT", "INT", "STR", "JSON_DATA", "NDARRAY", "REGION", "FRAME")]
)
def test_whatever_stands_for_an_argument_it_is_sent_or_refused_with_the_signature(
    kind: pb.ModelTypeField, value: Any
) -> None:
    argument = field(T.Name(kind.type), name="image", required=True)
    method = Method.of(pb.MethodSignature(name="f", method_type=1, input_fields=[argument]))  # type: ignore[arg-type]
    refused = ""
    try:
        method.encode({"image": value})
    except ConfigError as error:
        refused = str(error)
    assert not refused or ("argument image" in refused and str(method) in refused)


def test_a_picture_that_is_a_number_is_a_wrong_argument() -> None:
    argument = field("IMAGE", name="image", required=True)
    method = Method.of(pb.MethodSignature(name="f", method_type=1, input_fields=[argument]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"argument image: .*f\(image: Image\)"):
        method.encode({"image": 3})


@pytest.mark.parametrize(
    "text",
    [
        '{"f":' * 100_000,
        '{"f":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"f": {"name": "f", "method_type": 1e400}}',
        '{"f": {"method_type": 1, "input_fields": [{"type": 1e400}]}}',
        '{"f": ' + '{"input_fields": [' * 2000 + "]}" * 2000 + "}",
        '{"f": {"method_type": 1, "input_fields": [' + '{"type_args": [' * 500 + "]}" * 500 + "]}}",
        '{"f": {"method_type": ' + "9" * 5000 + "}}",
    ],
    ids=range(7),
)
def test_signatures_that_are_deep_or_huge_are_refused(text: str) -> None:
    with pytest.raises(PredictionFailed):
        from_json(text)


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**60, 10**400])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": {"b": [1, (v,)]}}])
def test_whole_numbers_that_a_double_cannot_hold_are_not_sent(value: int, wrap: Any) -> None:
    with pytest.raises(ConfigError, match=r"2\*\*53|beyond|large|cannot be sent|must hold JSON"):
        template({"seed": wrap(value)})
    with pytest.raises((ValueError, OverflowError), match=r"2\*\*53"):
        encode_value(pb.Data(), field("JSON_DATA"), {"seed": wrap(value)})
    template({"seed": 2**53, "on": True, "text": str(value)})


def test_long_parameters_are_not_kept() -> None:
    requests._template.cache_clear()
    for number in range(50):
        assert template({"messages": f"{number}" + "x" * 5000}) == template({"messages": f"{number}" + "x" * 5000})
        template({"temperature": number})
    assert requests._template.cache_info().currsize == 50


def template(params: dict[str, Any]) -> bytes:
    return codec.template(
        user_id="u", app_id="a", model_id="m", version_id="", params=params, output_config=None, routing=None
    )
