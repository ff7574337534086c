"""The committed generated code is what the protos say, and is as old as the oldest protobuf we support."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from headrace import v2
from headrace.v2 import resources_pb2, service_pb2, status_pb2

pytestmark = pytest.mark.core

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
GENERATED = Path(v2.__file__).parent
MODULES = {
    "headrace/v2/resources.proto": resources_pb2,
    "headrace/v2/service.proto": service_pb2,
    "headrace/v2/status.proto": status_pb2,
}


def drop_json_names(messages: list[DescriptorProto]) -> None:
    """Forget the JSON names: compilers write them into descriptor sets but not into generated code."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        drop_json_names(list(message.nested_type))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    """Return what the installed compiler, of whatever version, makes of the protos."""
    if find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    out = tmp_path_factory.mktemp("wire") / "set.pb"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"--descriptor_set_out={out}"]
    subprocess.run([*protoc, *MODULES], check=True, cwd=PROTOS)
    files = FileDescriptorSet.FromString(out.read_bytes()).file
    for file in files:
        drop_json_names(list(file.message_type))
    return {file.name: file for file in files}


def test_every_proto_has_its_module() -> None:
    assert {path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto")} == set(MODULES)
    generated = {path.name for path in GENERATED.iterdir() if "_pb2" in path.name}
    stems = {Path(name).stem for name in MODULES}
    assert generated == {f"{stem}_pb2{suffix}" for stem in stems for suffix in (".py", ".pyi")}


@pytest.mark.parametrize("name", MODULES)
def test_generated_code_says_what_the_proto_says(name: str, compiled: dict[str, FileDescriptorProto]) -> None:
    committed = FileDescriptorProto.FromString(MODULES[name].DESCRIPTOR.serialized_pb)
    assert committed == compiled[name]


@pytest.mark.parametrize("name", MODULES)
def test_stub_names_what_the_module_has(name: str) -> None:
    module = MODULES[name]
    stub = (GENERATED / f"{Path(name).stem}_pb2.pyi").read_text(encoding="utf-8")
    for message in module.DESCRIPTOR.message_types_by_name.values():
        slots = ", ".join(f'"{field.name}"' for field in message.fields)
        assert f"class {message.name}(_message.Message):\n    __slots__ = ({slots}" in stub
    for enum in module.DESCRIPTOR.enum_types_by_name.values():
        assert f"class {enum.name}(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):" in stub
        assert [value.name for value in enum.values if f"\n{value.name}: {enum.name}\n" not in stub] == []


@pytest.mark.parametrize("name", MODULES)
def test_generated_code_accepts_the_oldest_protobuf(name: str) -> None:
    code = (GENERATED / f"{Path(name).stem}_pb2.py").read_text(encoding="utf-8")
    assert "# Protobuf Python Version: 4.25.1\n" in code
    assert "runtime_version" not in code, "newer compilers add a check that refuses older protobufs"
