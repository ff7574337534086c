"""The messages of Connect's conformance service, and its cases, which are YAML in protobuf's JSON mapping.

Source: package connectrpc.conformance.v1 of github.com/connectrpc/conformance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory

FOLDER = Path(__file__).parents[1] / "conformance" / "connect"
PACKAGE = "connectrpc.conformance.v1"
CODES = (
    "OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
#: Fields in the order of their numbers: name, type ("*" before it: repeated).
_RESPONSE = [("payload", "ConformancePayload")]
_MESSAGES: dict[str, list[tuple[str, str]]] = {
    "Header": [("name", "string"), ("value", "*string")],
    "Error": [("code", "Code"), ("message", "string"), ("details", "*Any")],
    "RequestInfo": [("request_headers", "*Header"), ("timeout_ms", "int64"), ("requests", "*Any")],
    "ConformancePayload": [("data", "bytes"), ("request_info", "RequestInfo")],
    "UnaryResponseDefinition": [
        ("response_headers", "*Header"), ("response_data", "bytes"), ("error", "Error"),
        ("response_trailers", "*Header"), ("raw_response", "bytes"), ("response_delay_ms", "uint32"),
    ],
    "StreamResponseDefinition": [
        ("response_headers", "*Header"), ("response_data", "*bytes"), ("response_delay_ms", "uint32"),
        ("error", "Error"), ("response_trailers", "*Header"), ("raw_response", "bytes"),
    ],
    "UnaryRequest": [("response_definition", "UnaryResponseDefinition"), ("request_data", "bytes")],
    "ClientStreamRequest": [("response_definition", "UnaryResponseDefinition"), ("request_data", "bytes")],
    "ServerStreamRequest": [("response_definition", "StreamResponseDefinition"), ("request_data", "bytes")],
    "BidiStreamRequest": [
        ("response_definition", "StreamResponseDefinition"), ("full_duplex", "bool"), ("request_data", "bytes"),
    ],
    "UnimplementedRequest": [],
    "UnaryResponse": _RESPONSE, "ClientStreamResponse": _RESPONSE, "ServerStreamResponse": _RESPONSE,
    "BidiStreamResponse": _RESPONSE,
}  # fmt: skip


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    any_file = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    pool.Add(any_file)
    file = descriptor_pb2.FileDescriptorProto(name="conformance.proto", package=PACKAGE, syntax="proto3")
    file.dependency.append(any_file.name)
    file.enum_type.add(name="Code").value.extend(
        descriptor_pb2.EnumValueDescriptorProto(name=f"CODE_{name}", number=number) for number, name in enumerate(CODES)
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, type_) in enumerate(fields, 1):
            plain = type_.lstrip("*")
            added = message.field.add(name=field, number=number, label=3 if type_ != plain else 1)
            if plain in _MESSAGES or plain in ("Any", "Code"):
                added.type = kinds.TYPE_ENUM if plain == "Code" else kinds.TYPE_MESSAGE
                added.type_name = ".google.protobuf.Any" if plain == "Any" else f".{PACKAGE}.{plain}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{plain.upper()}")
    pool.Add(file)
    return pool


POOL = _pool()


def make(name: str) -> Any:
    """Make an empty message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))()


def packed(value: dict[str, Any]) -> bytes:
    """Serialize what YAML writes as an Any, without the Any around it."""
    fields = {key: content for key, content in value.items() if key != "@type"}
    message = make(value["@type"].rpartition(".")[2])
    json_format.ParseDict(fields, message, descriptor_pool=POOL)
    return bytes(message.SerializeToString())


@dataclass
class Case:
    """One case."""

    id: str
    request: dict[str, Any]
    expected: dict[str, Any] | None
    allowed: list[str]  # further codes that pass
    suite: dict[str, Any]

    @property
    def raw(self) -> dict[str, Any] | None:
        """The answer frame by frame, where the case gives one."""
        definition = self.definition
        return definition.get("rawResponse") or definition.get("raw_response")

    @property
    def definition(self) -> dict[str, Any]:
        """What the first message tells the server to do."""
        messages = self.request.get("requestMessages") or [{}]
        first = messages[0]
        found: dict[str, Any] = first.get("responseDefinition") or first.get("response_definition") or {}
        return found

    def messages(self) -> list[bytes]:
        """Serialize the request's messages; a raw answer is not part of them."""
        serialized = []
        for message in self.request.get("requestMessages") or []:
            copied = dict(message)
            if self.raw is not None:
                copied.pop("responseDefinition", None)
            serialized.append(packed(copied))
        return serialized


def cases() -> list[Case]:
    """Read all cases."""
    read = []
    for path in sorted(FOLDER.glob("*.yaml")):
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in suite.pop("testCases"):
            name = f"{path.stem}/{case['request']['testName']}"
            allowed = case.get("otherAllowedErrorCodes") or []
            read.append(Case(name, case["request"], case.get("expectedResponse"), allowed, suite))
    return read
