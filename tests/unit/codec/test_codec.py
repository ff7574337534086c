"""Requests written by hand mean the same as those that protobuf makes; wrong parameters are refused."""

from __future__ import annotations

import array
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import codec
from headrace.errors import ConfigError, PredictionFailed
from headrace.results.plain import to_dict
from headrace.transport.base import Buffer
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

pytestmark = pytest.mark.core

IDS = {"user_id": "u", "app_id": "a", "model_id": "m", "version_id": ""}
PAYLOADS = st.one_of(st.binary(max_size=300), st.integers(3000, 6000).map(lambda n: b"\x00\xff" * n))
KINDS = st.sampled_from([bytes, bytearray, memoryview])
PARTS = st.lists(
    st.tuples(st.sampled_from(["image", "video", "text", "audio"]), st.sampled_from(["bytes", "url"]), PAYLOADS, KINDS),
    max_size=3,
    unique_by=lambda part: part[0],
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def joined(parts: list[Buffer]) -> bytes:
    return b"".join(parts)


def parsed(parts: list[Buffer]) -> rpc.PostModelOutputsRequest:
    return rpc.PostModelOutputsRequest.FromString(joined(parts))


def make_input(input_id: str, parts: list[tuple[str, str, bytes, Any]]) -> pb.Input:
    made = pb.Input(id=input_id, data=pb.Data())
    for type_, form, payload, _ in parts:
        part = getattr(made.data, type_)
        if type_ == "text":
            setattr(part, "raw" if form == "bytes" else "url", payload.hex())
        elif form == "bytes":
            part.base64 = payload
        else:
            part.url = payload.hex()
    return made


def given_parts(parts: list[tuple[str, str, bytes, Any]]) -> list[tuple[str, str, Buffer]]:
    return [
        (type_, form, kind(payload.hex().encode() if form == "url" or type_ == "text" else payload))
        for type_, form, payload, kind in parts
    ]


@pytest.mark.parametrize("length", [1, 0x7F, 0x80, 0x3EFF, 0x3F00, 0x3FFF, 0x4000])
@pytest.mark.parametrize("identity", ["", "a", "a" * 0x7F, "a" * 0x80])
def test_lengths_at_the_edges_of_their_encoding(length: int, identity: str) -> None:
    for type_, form in (("image", "bytes"), ("text", "bytes"), ("audio", "url")):
        parts = codec.encode_input(identity, [(type_, form, b"x" * length)])
        made = make_input(identity, [])
        setattr(
            getattr(made.data, type_),
            form.replace("bytes", "raw" if type_ == "text" else "base64"),
            "x" * length if form == "url" or type_ == "text" else b"x" * length,
        )
        assert parsed(parts).inputs[0] == made


@given(TEXTS, PARTS)
def test_an_input_means_the_same_as_one_made_by_protobuf(
    input_id: str, parts: list[tuple[str, str, bytes, Any]]
) -> None:
    encoded = codec.encode_input(input_id, given_parts(parts))
    assert parsed(encoded) == rpc.PostModelOutputsRequest(inputs=[make_input(input_id, parts)])
    assert codec.size_of(encoded) == len(joined(encoded))


@given(TEXTS, TEXTS, PARTS)
def test_a_serialised_input_is_taken_as_it_is_and_a_given_id_counts(
    own_id: str, given_id: str, parts: list[tuple[str, str, bytes, Any]]
) -> None:
    message = make_input(own_id, parts)
    encoded = codec.encode_raw_input(message.SerializeToString(), given_id)
    message.id = given_id or own_id
    assert parsed(encoded) == rpc.PostModelOutputsRequest(inputs=[message])


@given(st.dictionaries(TEXTS, JSON, max_size=4), st.lists(st.tuples(TEXTS, PARTS), max_size=3))
def test_a_template_followed_by_inputs_is_one_request(
    params: dict[str, Any], inputs: list[tuple[str, list[tuple[str, str, bytes, Any]]]]
) -> None:
    parts: list[Buffer] = [codec.template(**IDS, params=params, output_config=None, routing=None)]
    expected = rpc.PostModelOutputsRequest(user_app_id=pb.UserAppIDSet(user_id="u", app_id="a"), model_id="m")
    if params:
        expected.model.model_version.output_info.params.update(params)
    for input_id, fields in inputs:
        parts += codec.encode_input(input_id, given_parts(fields))
        expected.inputs.append(make_input(input_id, fields))
    assert parsed(parts) == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_large_payload_is_a_part_of_its_own_and_not_copied(kind: Any) -> None:
    payload = kind(b"x" * codec.SEPARATE_BYTES)
    parts = codec.encode_input("id", [("image", "bytes", payload)])
    assert any(part is payload for part in parts)
    assert all(parts)
    parts = codec.encode_raw_input(b"\x0a\x02id" + b"\x12\x00" * codec.SEPARATE_BYTES, "x")
    assert len(parts) == 3


def test_small_payloads_are_one_part() -> None:
    short = b"x" * (codec.SEPARATE_BYTES - 1)
    assert len(codec.encode_input("id", [("text", "bytes", short), ("image", "url", b"u")])) == 1


@pytest.mark.parametrize("count", [3, 5000])
def test_sizes_are_those_in_bytes_whatever_a_view_counts(count: int) -> None:
    view = memoryview(array.array("i", range(count)))
    encoded = codec.encode_input("", [("image", "bytes", view)])
    assert parsed(encoded).inputs[0].data.image.base64 == view.tobytes()
    assert codec.size_of(encoded) == len(joined(encoded))


# -- templates


def test_a_template_is_encoded_once() -> None:
    def make(**given_: Any) -> bytes:
        return codec.template(**{**IDS, "params": {"a": 1}, "output_config": None, "routing": None, **given_})

    first = make()
    assert make(params={"a": 1}) is first
    assert make(params={"a": 2}) != first
    assert make(params={"b": 1, "a": 1}) is make(params={"a": 1, "b": 1})
    assert make(params={"a": 1.0}) == make(params={"a": 1})
    assert make(version_id="v") != first


def test_no_parameters_leave_no_trace() -> None:
    bare = codec.template(**IDS, params=None, output_config=None, routing=None)
    assert bare == codec.template(**IDS, params={}, output_config={}, routing={})
    assert not rpc.PostModelOutputsRequest.FromString(bare).HasField("model")


def test_version_config_and_routing_have_their_places() -> None:
    made = codec.template(
        user_id="u",
        app_id="a",
        model_id="m",
        version_id="v",
        params={"temperature": 0.5},
        output_config={"min_value": 0.25, "max_concepts": 3, "sample_ms": 500, "select_concepts": ["cat", {"id": "d"}]},
        routing={"deployment_id": "dep", "user_id": "du"},
    )
    request = rpc.PostModelOutputsRequest.FromString(made)
    info = request.model.model_version.output_info
    assert (request.version_id, request.model.model_version.id) == ("v", "v")
    assert info.params["temperature"] == 0.5
    assert (info.output_config.min_value, info.output_config.max_concepts, info.output_config.sample_ms) == (
        0.25,
        3,
        500,
    )
    assert [(c.id, c.name) for c in info.output_config.select_concepts] == [("", "cat"), ("d", "")]
    assert (request.runner_selector.deployment.id, request.runner_selector.deployment.user_id) == ("dep", "du")


def test_routing_by_cluster_and_nodepool() -> None:
    made = codec.template(
        **IDS, params=None, output_config=None, routing={"compute_cluster_id": "c", "nodepool_id": "n", "user_id": "u"}
    )
    nodepool = rpc.PostModelOutputsRequest.FromString(made).runner_selector.nodepool
    assert (nodepool.id, nodepool.compute_cluster.id, nodepool.compute_cluster.user_id) == ("n", "c", "u")


def _deep() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(100_000):
        made = {"a": made}
    return made


def _circular() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["a"] = made
    return made


@pytest.mark.parametrize(
    "params",
    [
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": b"bytes"},
        {"a": object()},
        {1: "a"},
        [],
        ["a"],
        "text",
        0,
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": 10**400},
        _deep(),
        _circular(),
    ],
)
def test_parameters_that_are_no_json_are_refused(params: Any) -> None:
    with pytest.raises(ConfigError):
        codec.template(**IDS, params=params, output_config=None, routing=None)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"nope": 1}, "nope"),
        ({"min_value": "x"}, "min_value"),
        ({"max_concepts": -1}, "max_concepts"),
        ({"max_concepts": 1.5}, "max_concepts"),
        ({"sample_ms": 10**30}, "sample_ms"),
        ({"sample_ms": True}, "sample_ms"),
        ({"select_concepts": 5}, "select_concepts"),
        ({"select_concepts": [["a"]]}, "select_concepts"),
        ({"language": "\ud800"}, "language"),
        ({"min_value": math.nan}, "NaN"),
        (["min_value"], "dict"),
    ],
)
def test_an_output_config_that_cannot_be_is_refused_by_name(config: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        codec.template(**IDS, params=None, output_config=config, routing=None)


def test_the_fields_of_an_output_config_are_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"its fields are .*min_value.*select_concepts"):
        codec.template(**IDS, params=None, output_config={"minimum": 1}, routing=None)


@given(st.dictionaries(st.sampled_from([f.name for f in pb.OutputConfig.DESCRIPTOR.fields]), JSON, max_size=3))
def test_any_output_config_is_encoded_or_refused(config: dict[str, Any]) -> None:
    try:
        assert codec.template(**IDS, params=None, output_config=config, routing=None)
    except ConfigError:
        pass


def test_ids_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigError):
        codec.template(**IDS, params=None, output_config=None, routing={"deployment_id": 5})  # type: ignore[dict-item]


# -- answers


def test_answers_are_decoded_and_what_is_none_is_named() -> None:
    answer = rpc.MultiOutputResponse(outputs=[pb.Output(id="o")])
    assert codec.decode(answer.SerializeToString()) == answer
    with pytest.raises(PredictionFailed, match="3 bytes"):
        codec.decode(b"\xff\xff\xff")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_an_error(raw: bytes) -> None:
    try:
        codec.decode(raw)
    except PredictionFailed:
        pass


def test_to_dict_keeps_the_protocols_names() -> None:
    output = pb.Output(id="o", prompt_tokens=3)
    assert to_dict(output) == {"id": "o", "prompt_tokens": 3}
