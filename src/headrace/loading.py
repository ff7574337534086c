"""Making inputs ready: files are read and pictures encoded in worker threads, then all is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace import codec, reading
from headrace.config import Limits
from headrace.errors import InputError
from headrace.inputs import Field, Input, check, encode_picture, flat, name_of, pillow_wanted, utf8
from headrace.transport.base import Buffer


async def load(item: Input, limits: Limits, head: bytes | None = None) -> Input:
    """Read files and encode pictures in worker threads, then check the limits.

    Args:
        head: the template of the request that the input goes with: its only file is read to where it is sent from.

    Raises:
        InputError: missing or unreadable file, empty, over a limit.
    """
    if not item.ready:
        item = await _loaded(item, limits, head)
    if pillow_wanted(item):
        from anyio import to_thread

        await to_thread.run_sync(_import_pillow)
    check(item, limits)
    return item


class _Whole(Input):
    """An input that was read behind its request's template: the request is one piece of memory already."""

    __slots__ = ("_head", "_message")

    def __init__(self, fields: Sequence[Field], id: str, head: bytes, message: bytes) -> None:
        super().__init__(fields, id or None)
        self._head = head
        self._message = message

    def request(self, head: bytes) -> list[Buffer]:
        """Give the request."""
        whole = self.whole(head)
        return super().request(head) if whole is None else [whole]

    def whole(self, head: bytes) -> bytes | None:
        """Give the request, where it has this very template."""
        return self._message if head == self._head else None


async def _loaded(item: Input, limits: Limits, head: bytes | None) -> Input:
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
    if head is not None and message is not None and _alone(item):
        return _Whole(fields, item.id, head, message)
    return Input(fields, item.id or None)


def _alone(item: Input) -> bool:
    return len(item.fields) == 1 and item.typed


async def _read(field: Field, item: Input, limits: Limits, head: bytes | None) -> tuple[Buffer, bytes | None]:
    """Read a file: its bytes, and the whole request where that could be made of it."""
    import aiofiles
    import aiofiles.os
    from aiofiles.threadpool import wrap
    from anyio import to_thread

    file, what = field.payload, field.payload if field.form == "path" else "the file"
    most = limits.input_bytes.get(field.type, limits.request_bytes)
    try:
        if field.form == "path":  # a cancelled call does not wait for a slow disk
            size = reading.plain_size(await aiofiles.os.stat(file))
            if size > most:
                raise reading.TooLarge(size)
            room = _room(item, field, head, size)
            async with aiofiles.open(file, "rb", buffering=0) as opened:
                await room.read(opened, most)
        else:
            left = await to_thread.run_sync(reading.file_size, file)
            if left is None:
                return _checked(await to_thread.run_sync(file.read), item), None
            room = _room(item, field, head, left)
            await room.read(wrap(file))
    except reading.TooLarge as error:
        had = f"more than {most:,} bytes, the limit"
        if error.size is not None:
            had = f"{error.size:,} bytes, the limit is {most:,}"
        raise InputError(f"{name_of(item)}: {what} has {had}", input_id=item.id or None) from None
    except (OSError, ValueError) as error:  # ValueError: no path at all, or a closed file
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name_of(item)}: cannot read {what}: {reason}", input_id=item.id or None) from error
    if field.form == "path" and not room.payload:
        raise InputError(f"{name_of(item)}: {what} is empty", input_id=item.id or None)
    return room.payload, room.message


def _room(item: Input, field: Field, head: bytes | None, size: int) -> reading.Room:
    if head is None or not _alone(item):
        return reading.Room(b"", size)
    return reading.Room(head + codec.before_payload(item.id, field.type, size), size)


def _checked(data: Any, item: Input) -> Buffer:
    """Check what a file of the user's own gave."""
    if isinstance(data, str):
        data = utf8(data)
    if not isinstance(data, bytes | bytearray | memoryview):
        kind = type(data).__name__
        raise InputError(f"{name_of(item)}: the file gave {kind}, not bytes", input_id=item.id or None)
    return flat(data)


async def _encoded(field: Field, item: Input) -> bytes:
    from anyio import to_thread

    try:
        return await to_thread.run_sync(encode_picture, field.payload)
    except InputError as error:
        raise InputError(f"{name_of(item)}: {error}", input_id=item.id or None) from error.__cause__


def _import_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        pass


__all__ = ["load"]
