"""`Input`: one thing for a model, and its builders."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TypeAlias, cast

from headrace.errors import ConfigError, InputError
from headrace.inputs.official import OfficialNames
from headrace.support.ids import named
from headrace.types import Buffer

InputType: TypeAlias = Literal["image", "video", "text", "audio"]
INPUT_TYPES: tuple[InputType, ...] = ("image", "video", "text", "audio")


class Readable(Protocol):
    """An open file."""

    def read(self, size: int = ..., /) -> bytes | str:
        """Read it."""


class ArrayLike(Protocol):
    """A numpy array, or an object with its array interface."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Where it lies."""


class PictureLike(Protocol):
    """A Pillow picture."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def save(self, fp: Any, format: str | None = ..., **params: Any) -> None:
        """Write it."""


class MessageLike(Protocol):
    """The official package's `Input` message."""

    def SerializeToString(self) -> bytes:
        """Encode it."""


#: How a field's payload is held: sent as it is ("bytes", "url"), or read and encoded first.
Form: TypeAlias = Literal["bytes", "url", "path", "file", "picture"]


class Field(NamedTuple):
    """One part of an input: its type ("" until it is looked up), the form of its payload, the payload."""

    type: str
    form: Form
    payload: Any

    def __repr__(self) -> str:
        return f"Field({self.type!r}, {self.form!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        payload = bytes(self.payload) if isinstance(self.payload, memoryview) else self.payload
        return Field, (self.type, self.form, payload)

    def same(self, other: Field) -> bool:
        """Whether two fields are equal; open files and pictures in memory only equal themselves."""
        if self.type != other.type or self.form != other.form:
            return False
        return self.payload is other.payload or (self.form not in ("file", "picture") and self.payload == other.payload)

    @property
    def ready(self) -> bool:
        """Whether it can be sent as it is."""
        return self.form in ("bytes", "url")

    @property
    def size(self) -> int:
        """Bytes of the payload; 0 if it isn't read yet."""
        if self.form != "bytes":
            return len(self.payload) if self.form == "url" else 0
        return len(self.payload)


class Input(OfficialNames):
    """One input of a model: an image, a video, a text, an audio, or several of them (multimodal).

    Made by `from_bytes`, `from_text`, `from_url`, `from_filepath` and `multimodal`; the constructor is for them.
    Payloads are kept by reference and never copied. Immutable; equal to another with the same id and parts.

    Attributes:
        id: the input's id, or "" when the client is to give one. Lower-case letters, digits, `-` and `_`, at most
            32 characters, are understood by every server.
        fields: the parts.
        raw: an encoded `Input` message, in place of the parts; or None.
        source: what it came from: a file's path, a URL without its credentials; "" if that is not known.
    """

    __slots__ = ("fields", "id", "raw", "source")

    def __init__(
        self, fields: Sequence[Field], id: str | None = None, *, raw: bytes | None = None, source: str = ""
    ) -> None:
        self.id: str = _checked_id(id)
        self.fields: tuple[Field, ...] = tuple(fields)
        self.raw: bytes | None = raw
        self.source: str = source

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Input):
            return NotImplemented
        same = self.id == other.id and self.raw == other.raw and len(self.fields) == len(other.fields)
        return same and all(mine.same(theirs) for mine, theirs in zip(self.fields, other.fields, strict=True))

    def __hash__(self) -> int:  # payloads may be of any kind and size
        return hash((self.id, self.raw, tuple((field.type, field.form) for field in self.fields)))

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{f.type or 'any'} {f.form}" + (f" {f.size} B" if f.form == "bytes" else "") for f in self.fields
        )
        return f"<Input {self.id or '(no id)'}: {parts or 'message'}>"

    @classmethod
    def from_bytes(cls, data: InputLike, input_type: str | None = None, id: str | None = None) -> Input:
        """Make an input from bytes.

        Args:
            data: bytes, bytearray or memoryview of an encoded file; str (text); an open binary file; a PIL image or a
                numpy array of shape (height, width[, 1, 3 or 4]), uint8, which is encoded as PNG.
            input_type: "image", "video", "text" or "audio"; None: looked up, or known from the data.

        Raises:
            ConfigError: an unknown type, or data of a kind that cannot be sent.
        """
        if id is None and type(data) is str and input_type in ("text", None):  # fast path for the usual case
            text = object.__new__(cls)
            text.id, text.fields, text.raw, text.source = "", (Field("text", "bytes", utf8(data)),), None, ""
            return text
        return cls([_field(data, checked_type(input_type))], id)

    @classmethod
    def from_text(cls, text: str, id: str | None = None) -> Input:
        """Make an input from text.

        Raises:
            ConfigError: it is not a str.
            InputError: it has lone surrogates, which no encoding can send.
        """
        if not isinstance(text, str):
            raise ConfigError(f"a text is a str, not {type(text).__name__}; from_bytes takes bytes")
        return cls([Field("text", "bytes", utf8(text))], id)

    @classmethod
    def from_url(cls, url: str, input_type: str | None = None, id: str | None = None) -> Input:
        """Make an input that the server fetches from a public http(s) URL.

        Raises:
            ConfigError: not an http(s) URL, or an unknown type.
        """
        return cls([_url_field(url, checked_type(input_type))], id, source=re.sub(_CREDENTIALS, "", url))

    @classmethod
    def from_filepath(cls, path: str | os.PathLike[str], input_type: str | None = None, id: str | None = None) -> Input:
        """Make an input from a file, read when it is sent (in a worker thread)."""
        from pathlib import Path

        path = Path(path)
        return cls([Field(checked_type(input_type), "path", path)], id, source=str(path))

    @classmethod
    def multimodal(
        cls,
        *,
        text: str | None = None,
        raw_text: str | None = None,
        image_bytes: InputLike | None = None,
        image_url: str | None = None,
        video_bytes: InputLike | None = None,
        video_url: str | None = None,
        audio_bytes: InputLike | None = None,
        audio_url: str | None = None,
        id: str | None = None,
    ) -> Input:
        """Make one input with several parts, such as a picture and a question about it.

        `raw_text` is the official package's name of `text`.

        Raises:
            ConfigError: nothing given, or bytes and URL of the same type.
        """
        fields: list[Field] = []
        media = (
            ("image", image_bytes, image_url),
            ("video", video_bytes, video_url),
            ("audio", audio_bytes, audio_url),
        )
        for type_, data, url in media:
            if data is not None and url is not None:
                raise ConfigError(f"give {type_}_bytes or {type_}_url, not both")
            if data is not None:
                fields.append(_field(data, type_))
            elif url is not None:
                fields.append(_url_field(url, type_))
        if text is not None and raw_text is not None:
            raise ConfigError("give text or raw_text, not both")
        text = raw_text if text is None else text
        if text is not None:
            fields += cls.from_text(text).fields
        if not fields:
            raise ConfigError("a multimodal input needs at least one part: text, image, video or audio")
        return cls(fields, id)

    @classmethod
    def of(cls, value: Any, input_type: str | None = None) -> Input:
        """Make an input from anything that stands for one; an `Input` is returned as it is.

        Raises:
            ConfigError: its type cannot be sent.
        """
        if type(value) in (str, bytes):  # the usual case; the checks below cost more than the rest
            return cls.from_bytes(value, input_type)
        if isinstance(value, cls):
            return value.with_type(input_type) if input_type else value
        descriptor = getattr(value, "DESCRIPTOR", None)
        if getattr(descriptor, "full_name", None) in ("clarifai.api.Input", "headrace.v2.Input"):
            return cls((), value.id or None, raw=value.SerializeToString())
        if isinstance(value, os.PathLike):
            return cls.from_filepath(cast("os.PathLike[str]", value), input_type)
        return cls.from_bytes(value, input_type)

    @property
    def type(self) -> str:
        """The type of its only part; "multimodal" with several; "" when unknown."""
        if len(self.fields) == 1:
            return self.fields[0].type
        return "multimodal" if self.fields else ""

    @property
    def typed(self) -> bool:
        """Whether every part's type is known."""
        for field in self.fields:  # noqa: SIM110 - asked of every input, and all() costs four times as much
            if not field.type:
                return False
        return True

    @property
    def size_bytes(self) -> int:
        """Bytes of all payloads that are in memory."""
        if self.raw is not None:
            return len(self.raw)
        return self.fields[0].size if len(self.fields) == 1 else sum(field.size for field in self.fields)

    def with_type(self, input_type: str) -> Input:
        """Make the same input with the type of its untyped parts set."""
        if self.typed:
            return self
        checked_type(input_type)
        fields = [field if field.type else field._replace(type=input_type) for field in self.fields]
        return Input(fields, self.id or None, source=self.source)

    def with_id(self, id: str) -> Input:
        """Make the same input with another id."""
        return Input(self.fields, id, raw=self.raw, source=self.source)


def _field(data: Any, input_type: str) -> Field:
    if isinstance(data, str):
        if input_type not in ("", "text"):
            raise ConfigError(f"a str is text, not {input_type}; give bytes, or use the _by_url or _by_filepath method")
        return Field("text", "bytes", utf8(data))
    if isinstance(data, bytes | bytearray | memoryview):
        return Field(input_type, "bytes", flat(data))
    if isinstance(data, os.PathLike):
        from pathlib import Path

        return Field(input_type, "path", Path(data))
    if hasattr(data, "read"):
        return Field(input_type, "file", cast("BinaryIO", data))
    if hasattr(data, "__array_interface__") or hasattr(data, "save"):
        if input_type not in ("", "image"):
            raise ConfigError(f"a picture in memory is an image, not {input_type}")
        return Field("image", "picture", data)
    raise ConfigError(
        f"cannot send {type(data).__name__}: give bytes, str, a path, an open binary file, a PIL image, a numpy array "
        "or an Input"
    )


def _url_field(url: str, input_type: str) -> Field:
    if not isinstance(url, str) or not is_url(url):
        raise ConfigError(f"not an http(s) URL: {shortened(str(url))!r}")
    return Field(input_type, "url", url.encode())


def is_url(text: str) -> bool:
    """Whether a text is a whole http(s) URL: with a host, without blanks, and of characters that can be sent."""
    if not text.lower().startswith(("http://", "https://")) or not re.fullmatch(_URL_CHARACTERS, text):
        return False
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # half an address in brackets, a port that is none
        return False


_CREDENTIALS = r"(?<=://)[^/?#]*@"  # of a URL: source, for what is shown

#: Neither blanks nor control characters nor lone surrogates.
_URL_CHARACTERS = r"[^\s\x00-\x1f\x7f\ud800-\udfff]+"


def shortened(text: str, length: int = 200) -> str:
    """Cut what a user gave to a length that a message can hold."""
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def is_single(value: object) -> bool:
    """Whether a value is one input although it may be iterated over: bytes, a text, a picture, an open file."""
    if isinstance(value, str | bytes | bytearray | memoryview | os.PathLike | Input):
        return True
    if isinstance(value, list | tuple | AsyncIterable):
        return False
    return any(hasattr(value, name) for name in ("__array_interface__", "read", "DESCRIPTOR", "save"))


def utf8(text: str) -> bytes:
    """Encode a text.

    Raises:
        InputError: it has lone surrogates.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InputError("the text has lone surrogates, which UTF-8 cannot hold") from None


def flat(data: Buffer) -> Buffer:
    """View a buffer as bytes, so that its length is in bytes; only one with gaps is copied."""
    if not isinstance(data, memoryview) or (data.format == "B" and data.ndim == 1 and data.c_contiguous):
        return data
    return data.cast("B") if data.c_contiguous and data.nbytes and data.ndim else data.tobytes()


def checked_type(input_type: str | None) -> str:
    """Check a type that the user gave; "" if none was.

    Raises:
        ConfigError: it is none of `INPUT_TYPES`.
    """
    if input_type is None or input_type == "":
        return ""
    if input_type not in INPUT_TYPES:
        raise ConfigError(f"unknown input_type {input_type!r}; known: {', '.join(INPUT_TYPES)}")
    return input_type


def known_types(fields: Sequence[str], model: str) -> tuple[InputType, ...]:
    """Return the types that a model takes, of the names of its input fields.

    Raises:
        ConfigError: it takes none that is known.
    """
    known: list[InputType] = [type_ for type_ in INPUT_TYPES if type_ in fields]
    if not known:
        raise ConfigError(
            f"{model} takes {', '.join(fields) or 'no known input'}: give input_type= "
            f"({', '.join(INPUT_TYPES)}), or use Input.multimodal"
        )
    return tuple(known)


def _checked_id(id: str | None) -> str:
    if id is None:
        return ""
    if not isinstance(id, str) or not id or len(id) > 256 or not id.isprintable():
        raise ConfigError(f"an input's id must be 1 to 256 printable characters, not {id!r:.60}")
    return id


def name_of(item: Input) -> str:
    """Name an input in messages: by the id that its user gave it, else by what it came from."""
    name = named(item.id)
    return item.source if item.source and name == named("") else name


#: What stands for one input: bytes of any kind, text, a path, an open binary file, a PIL image, a numpy array, an
#: `Input`, or the official package's `Input` message.
InputLike: TypeAlias = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | Readable | PictureLike | ArrayLike | Input | MessageLike
)

#: What gives frames: a video or a camera, several of them, any (async) iterator of pictures, or a single picture.
Frames: TypeAlias = AsyncIterable[InputLike] | Iterable[InputLike | AsyncIterable[InputLike]] | InputLike
