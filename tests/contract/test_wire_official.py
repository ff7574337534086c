"""Our messages are the official ones, field by field; what we leave out is only what we have no type for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from headrace.v2 import resources_pb2, service_pb2, status_pb2

pytest.importorskip("clarifai_grpc", reason="clarifai-grpc is not installed")

OURS = (resources_pb2, service_pb2, status_pb2)
OFFICIAL = ("resources_pb2", "service_pb2", "status.status_pb2", "status.status_code_pb2")


class Field(NamedTuple):
    """What a field is on the wire and in code; types of the schema by their name without the package."""

    name: str
    number: int
    repeated: bool
    kind: int
    type: str
    oneof: str
    optional: bool
    packed: bool


class Schema(NamedTuple):
    """Messages and enums of some files, nested ones too, by their name without the package."""

    messages: dict[str, dict[int, Field]]
    enums: dict[str, list[tuple[str, int]]]
    maps: set[str]


def short(name: str) -> str:
    for package in (".headrace.v2.", ".clarifai.api.status.", ".clarifai.api."):
        if name.startswith(package):
            return name.removeprefix(package)
    return name


def to_field(message: DescriptorProto, field: FieldDescriptorProto) -> Field:
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    scalar = field.type not in (
        FieldDescriptorProto.TYPE_STRING,
        FieldDescriptorProto.TYPE_BYTES,
        FieldDescriptorProto.TYPE_MESSAGE,
    )
    return Field(
        name=field.name,
        number=field.number,
        repeated=repeated,
        kind=field.type,
        type=short(field.type_name),
        oneof=message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "",
        optional=field.proto3_optional,
        packed=repeated and scalar and (field.options.packed or not field.options.HasField("packed")),
    )


def read_message(schema: Schema, message: DescriptorProto, name: str) -> None:
    schema.messages[name] = {field.number: to_field(message, field) for field in message.field}
    if message.options.map_entry:
        schema.maps.add(name)
    for nested in message.nested_type:
        read_message(schema, nested, f"{name}.{nested.name}")
    for enum in message.enum_type:
        read_enum(schema, enum, f"{name}.{enum.name}")


def read_enum(schema: Schema, enum: EnumDescriptorProto, name: str) -> None:
    schema.enums[name] = [(value.name, value.number) for value in enum.value]


def read(modules: Iterable[ModuleType]) -> Schema:
    schema = Schema({}, {}, set())
    for module in modules:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        assert file.syntax == "proto3"
        for message in file.message_type:
            read_message(schema, message, message.name)
        for enum in file.enum_type:
            read_enum(schema, enum, enum.name)
    return schema


@pytest.fixture(scope="module")
def official() -> Schema:
    return read([importlib.import_module(f"clarifai_grpc.grpc.api.{name}") for name in OFFICIAL])


MINE = read(OURS)


def test_the_schema_is_all_there() -> None:
    assert {"Data", "Input", "Output", "Status", "PostModelOutputsRequest"} <= MINE.messages.keys()
    assert MINE.maps == {"Image.HostedImageInfoEntry"}


def test_our_fields_are_the_official_ones(official: Schema, subtests: pytest.Subtests) -> None:
    for name in MINE.messages:
        with subtests.test(message=name):
            theirs = official.messages[name]
            assert MINE.messages[name] == {number: theirs.get(number) for number in MINE.messages[name]}
            assert (name in MINE.maps) == (name in official.maps)


def test_we_lack_only_fields_whose_type_is_not_ours(official: Schema, subtests: pytest.Subtests) -> None:
    for name in MINE.messages:
        with subtests.test(message=name):
            types = MINE.messages.keys() | MINE.enums.keys()
            lacking = [field for number, field in official.messages[name].items() if number not in MINE.messages[name]]
            assert [field.name for field in lacking if field.type in types] == []
            assert [field.name for field in lacking if not field.type or field.type.startswith(".google.")] == []


def test_our_enums_are_the_official_ones(official: Schema, subtests: pytest.Subtests) -> None:
    for name in MINE.enums:
        with subtests.test(enum=name):
            assert sorted(MINE.enums[name], key=by_number) == sorted(official.enums[name], key=by_number)


def by_number(value: tuple[str, int]) -> int:
    return value[1]


def test_a_code_with_two_names_goes_by_the_same_one() -> None:
    codes = importlib.import_module("clarifai_grpc.grpc.api.status.status_code_pb2").StatusCode
    ours = {number: status_pb2.StatusCode.Name(number) for _, number in MINE.enums["StatusCode"]}
    assert ours == {number: codes.Name(number) for number in ours}
    assert len(ours) < len(MINE.enums["StatusCode"])
