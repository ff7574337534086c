"""Preparing inputs: files are read and pictures encoded in daemon threads, then all is checked."""

from __future__ import annotations

from typing import Any

from headrace import codec
from headrace.config import Limits
from headrace.errors import HeadraceError, InputError
from headrace.inputs import reading
from headrace.inputs.checks import check, is_ready, pillow_wanted
from headrace.inputs.prepared import Prepared, PreparedFile
from headrace.inputs.value import (
    Field,
    Input,
    flat,
    name_of,
    shortened,
    utf8,
)
from headrace.media import encoding
from headrace.support.threads import in_thread, slot
from headrace.types import Buffer


async def load(item: Input, limits: Limits) -> Input:
    """Read files and encode pictures in daemon threads, then check the limits.

    Raises:
        InputError: missing or unreadable file, empty, over a limit.
    """
    return (await _load(item, limits, None))[0]


async def prepare(item: Input, limits: Limits, head: bytes) -> Prepared:
    """As `load`, of an input with an id; its only file is read to where it is sent from.

    Args:
        head: the template of the request that the input goes with.
    """
    item, message = await _load(item, limits, head)
    if message is None:
        return Prepared(item, item.id)
    return PreparedFile(item, item.id, head, message)


async def _load(item: Input, limits: Limits, head: bytes | None) -> tuple[Input, bytes | None]:
    message: bytes | None = None
    if not is_ready(item):
        async with slot():
            item, message = await _loaded(item, limits, head)
    if pillow_wanted(item):
        await in_thread(_import_pillow)
    check(item, limits)
    return item, message


async def _loaded(item: Input, limits: Limits, head: bytes | None) -> tuple[Input, bytes | None]:
    fields: list[Field] = []
    message: bytes | None = None
    for field in item.fields:
        if field.form in ("path", "file"):
            payload, message = await _read(field, item, limits, head)
            fields.append(field._replace(form="bytes", payload=payload))
        elif field.form == "picture":
            fields.append(field._replace(form="bytes", payload=await _encoded(field, item)))
        else:
            fields.append(field)
    if head is None or not _alone(item):
        message = None
    return Input(fields, item.id or None, source=item.source), message


def _alone(item: Input) -> bool:
    return len(item.fields) == 1 and item.typed


async def _read(field: Field, item: Input, limits: Limits, head: bytes | None) -> tuple[Buffer, bytes | None]:
    """Read a file: its bytes, and the whole request if it could be built around them."""
    name = shortened(str(field.payload)) if field.form == "path" else "the file"
    limit = limits.input_bytes.get(field.type, limits.request_bytes)

    def before(size: int) -> bytes:
        return b"" if head is None or not _alone(item) else head + codec.before_payload(item.id, field.type, size)

    buffer: Any
    try:
        if field.form == "path":
            buffer = await reading.read_path(field.payload, limit, before)
        else:
            buffer = await reading.read_open(field.payload, before)
    except reading.TooLarge as error:
        had = f"more than {limit:,} bytes, the limit"
        if error.size is not None:
            had = f"{error.size:,} bytes; the limit is {limit:,}"
        raise InputError(f"{_before(item, name)}{name} has {had}", input_id=item.id or None) from None
    except HeadraceError:
        raise  # of an input that had failed before
    except Exception as error:  # a file object of the user may raise anything
        reason = getattr(error, "strerror", None) or shortened(str(error)) or type(error).__name__
        raise InputError(f"{_before(item, name)}cannot read {name}: {reason}", input_id=item.id or None) from error
    if not isinstance(buffer, reading.FileBuffer):
        return _checked(buffer, item), None
    if field.form == "path" and not buffer.payload:
        raise InputError(f"{_before(item, name)}{name} is empty", input_id=item.id or None)
    return buffer.payload, buffer.message


def _before(item: Input, name: str) -> str:
    """Return the prefix of a message about an input's file: empty if both have one name."""
    return "" if name_of(item) in (item.source, name) else f"{name_of(item)}: "


def _checked(data: Any, item: Input) -> Buffer:
    """Check what a file object of the user returned."""
    if isinstance(data, str):
        data = utf8(data)
    if not isinstance(data, bytes | bytearray | memoryview):
        kind = type(data).__name__
        raise InputError(f"{name_of(item)}: reading the file returned {kind}, not bytes", input_id=item.id or None)
    return flat(data)


async def _encoded(field: Field, item: Input) -> bytes:
    try:
        return await in_thread(encoding.png, field.payload)
    except InputError as error:
        raise InputError(f"{name_of(item)}: {error}", input_id=item.id or None) from error.__cause__


def _import_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        pass


__all__ = ["load", "prepare"]
