"""What a client gives a tool, as values of a model: pictures as bytes or URLs, files where that is allowed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import stat
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace import media
from headrace.errors import InputError
from headrace.inputs import Input
from headrace.inputs.value import is_url
from headrace.integrations.mcp.schema import MEDIA
from headrace.results import Concept
from headrace.v2 import resources_pb2 as pb

MAX_BYTES = 64 << 20  # of one picture, sound or video
_Type = pb.ModelTypeField
_PATH_CHARACTERS = 4096
_NO_FILES = "files are not read by this server"
_SHOWN = 80  # characters of a value in a message


class Arguments:
    """Turns the arguments of a call into values.

    Args:
        folders: files below these may be named; none: no file may.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._folders = [Path(folder).expanduser().resolve() for folder in folders]

    @property
    def paths(self) -> bool:
        """Whether files may be named."""
        return bool(self._folders)

    async def value(self, field: pb.ModelTypeField, given: Any, name: str) -> Any:
        """Give a value of a field's type; what does not fit is left to the encoding, which names the argument.

        Raises:
            InputError: a picture, sound, video or file that cannot be read or may not be.
        """
        kind = field.type
        if kind in MEDIA:
            return await self.medium(MEDIA[kind], given, name)
        if kind == _Type.BYTES and isinstance(given, str):
            return _decoded(given, name)
        if kind == _Type.INT and isinstance(given, float) and given.is_integer():
            return int(given)  # JSON has one kind of number
        if kind == _Type.LIST and isinstance(given, list) and field.type_args:
            return [await self.value(field.type_args[0], one, name) for one in given]
        if kind == _Type.TUPLE and isinstance(given, list) and len(given) == len(field.type_args):
            return [await self.value(inner, one, name) for inner, one in zip(field.type_args, given, strict=True)]
        if kind == _Type.NAMED_FIELDS and isinstance(given, dict):
            fields = {inner.name: inner for inner in field.type_args}
            return {key: await self.value(fields[key], one, name) for key, one in given.items() if key in fields}
        if kind == _Type.CONCEPT and isinstance(given, dict):
            return Concept(str(given.get("name", "")), float(given.get("value", 1.0)))
        return given

    async def plain(self, given: dict[str, Any]) -> tuple[Input, dict[str, Any]]:
        """Make the input of a model without methods, and its parameters.

        Raises:
            InputError: there is none, or it cannot be read.
            ConfigError: it cannot be sent.
        """
        parts: dict[str, Any] = {}
        for kind in ("text", "image", "audio", "video"):
            value = given.get(kind)
            if value is None:
                continue
            if kind == "text":
                parts["text"] = value
            else:
                medium = await self.medium(kind, value, kind)
                parts[f"{kind}_{'url' if isinstance(medium, str) else 'bytes'}"] = medium
        unknown = sorted(set(given) - {"text", "image", "audio", "video", "params"})
        if unknown or not parts:
            problem = f"no argument {', '.join(unknown)}" if unknown else "no input"
            raise InputError(f"{problem}: give text, image, audio or video, and parameters in params")
        params = given.get("params") or {}
        if not isinstance(params, dict):
            raise InputError('params is an object, such as {"max_tokens": 100}')
        return Input.multimodal(**parts), params

    async def medium(self, kind: str, given: Any, name: str) -> bytes | str:
        """Give a picture, sound or video as its bytes, or the URL from which the model's server fetches it.

        Takes base64, a data: URL, an http(s) URL, the path of a file where that is allowed, and MCP's own content (an
        object with `data`).

        Raises:
            InputError: it is none of these, too large, of another kind, or a file that may not be read.
        """
        if isinstance(given, dict) and isinstance(given.get("data"), str):
            given = given["data"]
        if not isinstance(given, str) or not given.strip():
            raise InputError(f"{name} must be base64, a data: URL or an http(s) URL, as a string")
        return await self._medium(kind, given.strip(), name)

    async def _medium(self, kind: str, given: str, name: str) -> bytes | str:
        if given.lower().startswith(("http://", "https://")):
            if not is_url(given):
                raise InputError(f"{name}: not an http(s) URL: {given[:_SHOWN]!r}")
            return given
        if given[:5].lower() == "data:":
            data = _of_data_url(given, name)
        elif (path := self._path(given)) is not None:
            data = await asyncio.to_thread(self._read, path, name)
        else:
            data = self._of_base64(given, name)
        found = media.kind(data)
        if found is not None and found != kind:
            raise InputError(f"{name} must be {kind}; what was given is {found}")
        return data

    def _path(self, given: str) -> Path | None:
        """Return whether a value names a file and is not base64: it says so, or there is a readable one."""
        if given.lower().startswith("file:"):
            return Path(urllib.parse.unquote(urllib.parse.urlsplit(given).path))
        if len(given) > _PATH_CHARACTERS or "\0" in given:
            return None
        path = Path(given).expanduser() if given.startswith("~") and self._folders else Path(given)
        says_so = given.startswith(("./", "../", "~")) or "\\" in given or media.kind_of_name(given) is not None
        return path if says_so or self._allowed(path) is not None else None

    def _allowed(self, path: Path) -> Path | None:
        """Give the file that a path leads to, links followed, where it is below a folder that may be read."""
        for folder in self._folders:
            try:
                real = (folder / path).resolve(strict=True)
            except (OSError, RuntimeError, ValueError):  # not there, a circle of links, too long
                continue
            if real.is_relative_to(folder):
                return real
        return None

    def _read(self, path: Path, name: str) -> bytes:
        if not self._folders:
            raise InputError(f"{name}: {_NO_FILES} ({str(path)[:_SHOWN]!r}); it was started without --allow-path")
        real = self._allowed(path)
        try:
            if real is not None:
                with open(real, "rb", opener=_no_waiting) as file:
                    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                        return _bounded(file.read(MAX_BYTES + 1), name)
        except OSError:
            pass
        raise InputError(f"{name}: there is no file {str(path)[:_SHOWN]!r} below the folders that this server may read")

    def _of_base64(self, given: str, name: str) -> bytes:
        data = _decoded(given, name)
        if media.kind(data) is None:
            hint = f"; {_NO_FILES} unless --allow-path names their folder" if given[:1] == "/" else ""
            raise InputError(f"{name}: the base64 holds no picture, sound or video of a known format{hint}")
        return data


def _no_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is opened at once as well."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))


def _of_data_url(given: str, name: str) -> bytes:
    head, comma, body = given.partition(",")
    if not comma:
        raise InputError(f"{name}: a data: URL needs a comma before its content")
    if head.lower().endswith(";base64"):
        return _decoded(urllib.parse.unquote(body) if "%" in body else body, name)
    return _bounded(urllib.parse.unquote_to_bytes(body[: 3 * MAX_BYTES + 3]), name)


def _decoded(text: str, name: str) -> bytes:
    if len(text) > MAX_BYTES // 3 * 4 + 4:
        raise InputError(f"{name} is larger than {MAX_BYTES >> 20} MiB")
    compact = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"})  # also the form that is safe in URLs
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name} is neither base64 nor a data: URL nor an http(s) URL: {text[:_SHOWN]!r}") from None


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES >> 20} MiB")
    return data
