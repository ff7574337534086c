"""The details that a server attaches to a gRPC status: `google.rpc.Status` in the trailer grpc-status-details-bin.

Source: google/rpc/status.proto and google/rpc/error_details.proto of googleapis.
"""

from __future__ import annotations

import contextlib

from headrace.errors import StatusDetail

_DETAILS, _TYPE_URL, _VALUE = 3 << 3 | 2, 1 << 3 | 2, 2 << 3 | 2
_RETRY_DELAY, _SECONDS, _NANOS = 1 << 3 | 2, 1 << 3, 2 << 3


def read_details(status: bytes) -> tuple[StatusDetail, ...]:
    """Read the details of a serialized `google.rpc.Status`; none if it cannot be read."""
    from google.protobuf.message import DecodeError

    from headrace.support.protobytes import fields_of

    try:
        return tuple(_detail(wire) for key, wire in fields_of(memoryview(status)) if key == _DETAILS)
    except (DecodeError, UnicodeDecodeError):
        return ()


def retry_delay(details: tuple[StatusDetail, ...]) -> float | None:
    """Return the seconds of a `google.rpc.RetryInfo`; None if there is none."""
    from google.protobuf.message import DecodeError

    from headrace.support.protobytes import fields_of, read_varint

    for detail in details:
        if detail.type_url.rpartition("/")[2] != "google.rpc.RetryInfo":
            continue
        with contextlib.suppress(DecodeError):
            delays = [wire for key, wire in fields_of(memoryview(detail.value)) if key == _RETRY_DELAY]
            numbers = {key: read_varint(wire, 0)[0] for key, wire in fields_of(delays[-1])} if delays else {}
            seconds = numbers.get(_SECONDS, 0) + numbers.get(_NANOS, 0) / 1e9
            if 0 < seconds < 1e9:  # a negative number is a large one here
                return seconds
    return None


def _detail(wire: memoryview) -> StatusDetail:
    from headrace.support.protobytes import fields_of

    parts = dict(fields_of(wire))
    return StatusDetail(bytes(parts.get(_TYPE_URL, b"")).decode(), bytes(parts.get(_VALUE, b"")))
