"""The text of a token stream's pieces, read out of their bytes: most pieces differ in nothing else."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from headrace.v2 import resources_pb2 as pb
from headrace.v2 import status_pb2

_STATUS_KEY, _OUTPUTS_KEY = 0x0A, 0x12  # MultiOutputResponse: status = 1, outputs = 2
_DATA_KEY, _TEXT_KEY, _RAW_KEY = 0x32, 0x6A, 0x0A  # Output.data = 6, Data.text = 13, Text.raw = 1
_AROUND_TEXT = 6  # bytes: these three keys, each with a length of one byte
_SHORT = 0x80  # lengths below it take one byte


class PieceLayout:
    """Reads pieces that equal another one in all but their text.

    The text is the end of the message and of everything that it lies in, so the length of a message determines all
    lengths in it. A message that begins with the bytes for its length therefore differs in its text alone.

    Args:
        start: a message up to the key of its output.
        head: an output up to the key of its data.
        status: of the response, which all these pieces share.
    """

    __slots__ = ("_head", "_prefixes", "_start", "status")

    def __init__(self, start: bytes, head: bytes, status: status_pb2.Status) -> None:
        self.status: status_pb2.Status = status
        self._start = start
        self._head = head
        self._prefixes: dict[int, bytes] = {}  # by the length of a message: all that comes before its text

    def text_of(self, raw: bytes) -> str | None:
        """Return the text of a piece with this layout, None for any other message."""
        prefix = self._prefixes.get(len(raw)) or self._prefix(len(raw))
        if prefix and raw.startswith(prefix):
            try:
                return raw[len(prefix) :].decode()
            except UnicodeDecodeError:
                pass  # protobuf refuses it as well, and says why
        return None

    def _prefix(self, size: int) -> bytes:
        """Make what a message of this length begins with; b"" if there is none of this layout."""
        output = size - len(self._start) - 1
        text = output - len(self._head) - _AROUND_TEXT
        if text < 0 or output >= _SHORT:
            return b""
        around = (_DATA_KEY, text + 4, _TEXT_KEY, text + 2, _RAW_KEY, text)
        prefix = self._prefixes[size] = b"".join((self._start, bytes((output,)), self._head, bytes(around)))
        return prefix


def layout_of(raw: bytes, status: status_pb2.Status, text: str) -> PieceLayout | None:
    """Return the layout of a small piece, None if it has another one.

    Args:
        status, text: what protobuf has read of it; both its status and its only output's are good.
    """
    if not text or raw[0] != _STATUS_KEY or raw[1] >= _SHORT:
        return None
    end = 2 + raw[1]  # of the status
    start, head = raw[: end + 1], raw[end + 2 : -len(text.encode()) - _AROUND_TEXT]
    layout = PieceLayout(start, head, status)
    if start[-1] == _OUTPUTS_KEY and layout.text_of(raw) == text and _without_data(head):
        return layout
    return None


def _without_data(head: bytes) -> bool:
    """Whether an output's begin is made of whole fields, none of them data, with which other data would merge."""
    try:
        return not pb.Output.FromString(head).HasField("data")
    except DecodeError:
        return False


__all__ = ["PieceLayout", "layout_of"]
