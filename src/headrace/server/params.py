"""Parameters from the wire, checked and converted to plain values."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf import struct_pb2

from headrace.server.envelope import INVALID_REQUEST
from headrace.server.model import ModelError, OutputConfig
from headrace.v2 import resources_pb2

_EXACT = 2**53  # whole doubles below this are exact


def plain_struct(struct: struct_pb2.Struct, path: str = "") -> dict[str, Any]:
    """Make a dict of a Struct; whole doubles become ints, as the protocol has no other numbers.

    Raises:
        ModelError: 11102 for a number that is not finite.
    """
    return {key: _plain(value, f"{path}.{key}" if path else key) for key, value in struct.fields.items()}


def _plain(value: struct_pb2.Value, path: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise ModelError(INVALID_REQUEST, f"parameter {path} is {number}; it must be a finite number")
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    if kind == "struct_value":
        return plain_struct(value.struct_value, path)
    if kind == "list_value":
        return [_plain(one, f"{path}[{i}]") for i, one in enumerate(value.list_value.values)]
    return None if kind in (None, "null_value") else getattr(value, kind)


def output_config(config: resources_pb2.OutputConfig) -> OutputConfig:
    """Read an output configuration.

    Raises:
        ModelError: 11102 for a value out of range.
    """
    if not 0 <= config.min_value <= 1:  # NaN fails this too
        raise ModelError(INVALID_REQUEST, f"output_config.min_value is {config.min_value:g}; it must be from 0 to 1")
    if config.sample_ms and not 100 <= config.sample_ms <= 60_000:
        raise ModelError(INVALID_REQUEST, f"output_config.sample_ms is {config.sample_ms}; it must be 100 to 60000")
    return OutputConfig(
        min_value=config.min_value,
        max_concepts=config.max_concepts,
        select_concepts=tuple(concept.name or concept.id for concept in config.select_concepts),
        sample_ms=config.sample_ms,
        language=config.language,
    )
