"""`Input` and the values that stand for one. The other modules check, read and encode inputs."""

from headrace.inputs.value import (
    INPUT_TYPES,
    Field,
    Frames,
    Input,
    InputLike,
    InputType,
    checked_type,
    is_single,
    is_url,
    known_types,
    name_of,
    shortened,
    utf8,
)

__all__ = [
    "INPUT_TYPES",
    "Field",
    "Frames",
    "Input",
    "InputLike",
    "InputType",
    "checked_type",
    "is_single",
    "is_url",
    "known_types",
    "name_of",
    "shortened",
    "utf8",
]
