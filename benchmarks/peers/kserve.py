"""The canned answers of KServe's inference protocol, version 2: a text and five labels with their scores.

Assembled by hand, since the protocol's messages are in tritonclient's environment alone; its samples read them.
"""

from __future__ import annotations

import struct

TEXT = b"five words that answer it"
CLASSES = 5


def infer_response() -> bytes:
    """Make a ModelInferResponse: its tensors `text` and `label` of bytes and `score` of 32-bit floats."""
    tensors = ((b"text", b"BYTES", 1), (b"label", b"BYTES", CLASSES), (b"score", b"FP32", CLASSES))
    labels = [b"concept %d" % index for index in range(CLASSES)]
    scores = [1 / (index + 1) for index in range(CLASSES)]
    parts = [_field(1, b"m"), _field(2, b"1")]  # model_name, model_version
    parts += [_field(5, _tensor(*tensor)) for tensor in tensors]  # outputs
    contents = (_strings([TEXT]), _strings(labels), struct.pack(f"<{CLASSES}f", *scores))
    return b"".join([*parts, *(_field(6, content) for content in contents)])  # raw_output_contents


def stream_response() -> bytes:
    """Make a ModelStreamInferResponse with the same."""
    return _field(2, infer_response())


def token_response() -> bytes:
    """Make a ModelStreamInferResponse with a token's text alone."""
    response = [_field(1, b"m"), _field(2, b"1"), _field(5, _tensor(b"text", b"BYTES", 1))]
    return _field(2, b"".join([*response, _field(6, _strings([b"word "]))]))


def _tensor(name: bytes, datatype: bytes, length: int) -> bytes:
    return _field(1, name) + _field(2, datatype) + _field(3, _varint(length))  # shape: packed


def _strings(values: list[bytes]) -> bytes:
    """Join strings as a raw tensor of BYTES has them: each behind its length in four bytes."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def _field(number: int, value: bytes) -> bytes:
    """Make a length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
