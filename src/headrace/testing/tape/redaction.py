"""What must not get onto a tape: credentials by their names, by their values, and signed addresses."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from headrace.support.texts import MASK

SHORTEST = 4  # characters of a credential; one that is shorter cannot be told from other words
WORD_ONLY = 6  # characters below which one is masked only where it stands as a word

#: Metadata that differs from run to run, and says nothing of what is asked.
PASSING = frozenset({"baggage", "tracestate", "traceparent", "x-clarifai-request-id-prefix", "x-request-id"})
_SECRET = re.compile(
    "auth|authorization|cookie|credentials?|jwt|passphrase|passwd|password|pat|pwd|secret|sig|signature|token|apikey"
)
_KEYS = re.compile("access|account|api|auth|client|encryption|private|secret|session|shared|signing|subscription")
_TEXT_TOKENS = re.compile("bos|cls|end|eos|mask|pad|sep|start|stop|unk")  # `eos_token` is a word of a model
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_URL = re.compile(r"(?i:https?)://[^\s\"'<>\\^`{|}]+")
_SIGNED = re.compile(r"(?i)[?&;](x-amz-signature|x-goog-signature|x-oss-signature|signature|sig|hdnts)=")
_PARAMETER = re.compile(r"([?&;])([^=&;#]+)=([^&;#]*)")


def is_secret(name: str) -> bool:
    """Return whether something of this name holds a credential, such as "api_key", "X-Auth-Token" or "clientSecret"."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token" and _TEXT_TOKENS.fullmatch(before):
        return False
    return _SECRET.fullmatch(last) is not None or (last == "key" and _KEYS.fullmatch(before) is not None)


class Redaction:
    """Takes credentials out of what is written and out of what is compared.

    Args:
        names: names of metadata, parameters and URL parameters whose values are taken out as well.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_folded(name) for name in names)
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        self._bytes_pattern: re.Pattern[bytes] | None = None

    def hides(self, name: str) -> bool:
        """Return whether the value of this name is taken out."""
        return _folded(name) in self._names or is_secret(name)

    def metadata(self, metadata: Iterable[tuple[str, str]]) -> list[list[str]]:
        """Give the metadata that may be written and compared; remember the credentials in it."""
        kept = []
        for name, value in metadata:
            if self.hides(name):
                self.remember(value)
            elif name.lower() not in PASSING:
                kept.append([name.lower(), value])
        return sorted(kept)

    def remember(self, value: str) -> None:
        """Mask this value wherever it stands; of "Bearer x", x."""
        for secret in {value, value.partition(" ")[2].strip() or value}:
            if len(secret) >= SHORTEST and secret not in self._secrets:
                self._secrets[secret] = None
                self._pattern = None

    def learn(self, message: Message) -> None:
        """Remember the credentials that stand under a telling name in a message."""
        self._walk(message, lambda text: text, lambda data: data, learn=True)

    def clean(self, message: Message, text: Callable[[str], str] = str) -> None:
        """Take the credentials out of a message, in place.

        Args:
            text: what else happens to each text.
        """
        self._walk(message, lambda value: text(self.text(value)), self.data, learn=False)

    def text(self, text: str) -> str:
        """Take the credentials out of a text."""
        if "://" in text:
            text = _URL.sub(lambda match: self._address(match[0]), text)
        if not self._secrets:
            return text
        return self._compiled()[0].sub(MASK, text)

    def data(self, data: bytes) -> bytes:
        """Overwrite the credentials in bytes; their length stays, for lengths may be written beside them."""
        if not self._secrets:
            return data
        return self._compiled()[1].sub(lambda match: b"*" * len(match[0]), data)

    def _compiled(self) -> tuple[re.Pattern[str], re.Pattern[bytes]]:
        if self._pattern is None or self._bytes_pattern is None:
            forms = sorted({form for secret in self._secrets for form in _forms(secret)}, key=len, reverse=True)
            text = "|".join(map(_expression, forms))
            self._pattern, self._bytes_pattern = re.compile(text), re.compile(text.encode())
        return self._pattern, self._bytes_pattern

    def _address(self, address: str) -> str:
        scheme, _, rest = address.partition("://")
        host, slash, path = rest.partition("/")
        if "@" in host:
            host = f"{MASK}@{host.rpartition('@')[2]}"
        address = f"{scheme}://{host}{slash}{path}"
        if _SIGNED.search(address):
            return f"{address.partition('?')[0]}?{MASK}"
        return _PARAMETER.sub(
            lambda match: f"{match[1]}{match[2]}={MASK if self._hides_parameter(match[2]) else match[3]}", address
        )

    def _hides_parameter(self, name: str) -> bool:
        return name.lower() == "key" or self.hides(name)

    def _walk(
        self, message: Message, text: Callable[[str], str], data: Callable[[bytes], bytes], *, learn: bool
    ) -> None:
        if isinstance(message, Struct):
            for name in message.fields:
                value = message.fields[name]
                if not self.hides(name):
                    self._walk(value, text, data, learn=learn)
                elif learn:
                    for secret in _texts(value):
                        self.remember(secret)
                elif value.WhichOneof("kind") not in (None, "null_value"):
                    value.string_value = MASK
            return
        for field, value in message.ListFields():
            if isinstance(value, str):
                if not self.hides(field.name):
                    _set(message, field.name, value, text(value))
                elif learn:
                    self.remember(value)
                else:
                    setattr(message, field.name, MASK)
            elif isinstance(value, bytes):
                _set(message, field.name, value, data(value))
            elif isinstance(value, Message):
                self._walk(value, text, data, learn=learn)
            elif field.type == field.TYPE_STRING:
                _set_all(value, text)
            elif field.type == field.TYPE_BYTES:
                _set_all(value, data)
            elif field.message_type is not None:
                self._walk_many(value, text, data, learn=learn)

    def _walk_many(
        self, values: Any, text: Callable[[str], str], data: Callable[[bytes], bytes], *, learn: bool
    ) -> None:
        """Go through a repeated message, or a map."""
        for name in list(values) if hasattr(values, "keys") else ():
            value = values[name]
            if isinstance(value, Message):
                self._walk(value, text, data, learn=learn)
            elif isinstance(value, str):
                values[name] = MASK if self.hides(str(name)) and not learn else text(value)
            elif isinstance(value, bytes):
                values[name] = data(value)
        for value in values if not hasattr(values, "keys") else ():
            self._walk(value, text, data, learn=learn)


def _set(message: Message, name: str, old: object, new: object) -> None:
    if new != old:
        setattr(message, name, new)


def _set_all(values: Any, change: Callable[[Any], Any]) -> None:
    for index, value in enumerate(values):
        if (changed := change(value)) != value:
            values[index] = changed


def _texts(value: Any) -> list[str]:
    """Give all texts in a value of a `Struct`."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return [value.string_value]
    if kind == "list_value":
        return [text for item in value.list_value.values for text in _texts(item)]
    if kind == "struct_value":
        return [text for item in value.struct_value.fields.values() for text in _texts(item)]
    return []


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _forms(secret: str) -> list[str]:
    """Give the spellings in which a credential may come back: as it is, in a URL, in base64 at any place."""
    forms = [secret, quote(secret, safe="")]
    raw = secret.encode()
    if len(raw) >= 8:
        forms += [raw.hex()]
        for shift in range(3):  # where in a group of three bytes it begins
            coded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
            start = (0, 2, 3)[shift]
            whole = (shift + len(raw)) % 3
            forms.append(coded[start:] if whole == 0 else coded[start:-1])
    return forms


def _expression(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= WORD_ONLY else rf"(?<!\w){escaped}(?!\w)"
