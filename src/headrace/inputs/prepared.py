"""An input that is ready to be sent: it has an id, its payloads are in memory, and it was checked."""

from __future__ import annotations

from headrace import codec
from headrace.errors import HeadraceError
from headrace.inputs.value import Input
from headrace.types import Buffer


class Prepared:
    """What calls send, and keep until the answer.

    Attributes:
        id: the id under which it travels.
        input: its parts; the input's own id may be another one, or none.
        position: in the source or list that it is from.
        size_bytes: bytes of its payloads.
        error: None, or why it cannot be sent (`Unsendable`).
    """

    __slots__ = ("id", "input", "position", "size_bytes")

    error: HeadraceError | None = None

    def __init__(self, input: Input, id: str, size_bytes: int | None = None, position: int = 0) -> None:
        self.input: Input = input
        self.id: str = id
        self.position: int = position
        self.size_bytes: int = input.size_bytes if size_bytes is None else size_bytes

    def __repr__(self) -> str:
        return f"<Prepared {self.id}: {self.input!r}>"

    @property
    def source(self) -> str:
        """What it came from, such as a file's path; "" if that is not known."""
        return self.input.source

    def named(self, id: str) -> Prepared:
        """Make the same input with another id."""
        return Prepared(self.input, id, self.size_bytes, self.position)

    def emptied(self) -> Prepared:
        """Return the same input without its payloads, for one that is not sent again."""
        return Prepared(_NOTHING, self.id, 0, self.position)

    def share(self) -> tuple[int, int]:
        """Count the bytes that it takes of a request at most, and its videos."""
        fields = self.input.fields
        videos = 0
        for field in fields:  # of many inputs, and `sum` costs three times as much
            if field.type == "video":
                videos += 1
        return self.size_bytes + 15 + 4 * len(self.id) + 12 * len(fields), videos

    def encode(self) -> list[Buffer]:
        """Encode it for a request, in parts."""
        if self.input.raw is not None:
            return codec.encode_raw_input(self.input.raw, self.id)
        return codec.encode_input(self.id, self.input.fields)

    def request(self, head: bytes) -> list[Buffer]:
        """Encode a request with this input alone, in parts: the template, then the input."""
        item = self.input
        if item.raw is None:
            return [head, *codec.encode_input(self.id, item.fields)]
        return [head, *codec.encode_raw_input(item.raw, self.id)]

    def whole(self, head: bytes) -> bytes | None:
        """Return the request of this input alone, if it lies in one piece of memory already; None otherwise."""
        return None


class PreparedText(Prepared):
    """An ASCII text that is encoded when it is sent: a call that waits for its turn holds no copy of it."""

    __slots__ = ("_text",)

    source = ""  # it is not known

    def __init__(self, text: str, id: str, position: int = 0) -> None:
        self._text = text
        self.id = id
        self.position = position

    @property
    def input(self) -> Input:  # type: ignore[override]  # made anew each time, and seldom needed
        """Its parts."""
        return Input.from_text(self._text)

    @property
    def size_bytes(self) -> int:  # type: ignore[override]
        """Bytes of the text."""
        return len(self._text)

    def named(self, id: str) -> Prepared:
        """Make the same text with another id."""
        return PreparedText(self._text, id, self.position)

    def share(self) -> tuple[int, int]:
        """Count the bytes that it takes of a request at most, and its videos."""
        return len(self._text) + 27 + 4 * len(self.id), 0

    def encode(self) -> list[Buffer]:
        """Encode it for a request, in parts."""
        return [codec.before_payload(self.id, "text", len(self._text)), self._text.encode()]

    def request(self, head: bytes) -> list[Buffer]:
        """Encode a request with this text alone, in parts: the template, then the text."""
        return [head, codec.before_payload(self.id, "text", len(self._text)), self._text.encode()]


class PreparedFile(Prepared):
    """An input that was read behind its request's template: the request is one piece of memory already."""

    __slots__ = ("_head", "_message")

    def __init__(self, input: Input, id: str, head: bytes, message: bytes) -> None:
        super().__init__(input, id)
        self._head = head
        self._message = message

    def request(self, head: bytes) -> list[Buffer]:
        """Return the request."""
        return [self._message] if head == self._head else super().request(head)

    def whole(self, head: bytes) -> bytes | None:
        """Return the request, if it has this very template."""
        return self._message if head == self._head else None


class Unsendable(Prepared):
    """An input that could not be prepared: its error is delivered in its turn."""

    __slots__ = ("error",)

    def __init__(self, id: str, error: HeadraceError, source: str, position: int = 0) -> None:
        super().__init__(Input((), source=source), id, ERROR_BYTES, position)
        self.error: HeadraceError | None = error

    def named(self, id: str) -> Prepared:
        """Make the same with another id."""
        assert self.error is not None
        return Unsendable(id, self.error, self.source, self.position)


_NOTHING = Input(())
ERROR_BYTES = 1024  # that an input without payloads and its error count in a window of bytes alone

__all__ = ["Prepared", "PreparedFile", "PreparedText", "Unsendable"]
