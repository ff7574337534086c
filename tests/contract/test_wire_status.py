"""Status codes: names, aliases, and numbers that nobody has told us about."""

from __future__ import annotations

import pytest

from headrace.v2 import resources_pb2, service_pb2, status_pb2
from headrace.v2.status_pb2 import Status, StatusCode

pytestmark = pytest.mark.core

NEWER = 1_234_567  # not in the list


def test_names_and_values_of_codes() -> None:
    assert StatusCode.Value("SUCCESS") == StatusCode.SUCCESS == status_pb2.SUCCESS == 10000
    assert StatusCode.Name(21354) == "MODEL_BUSY_PLEASE_RETRY"


def test_an_alias_has_a_value_but_the_first_name_wins() -> None:
    assert StatusCode.Value("INPUT_DOWNLOAD_SUCCESS") == StatusCode.Value("INPUT_SUCCESS") == 30000
    assert StatusCode.Name(StatusCode.INPUT_DOWNLOAD_SUCCESS) == "INPUT_SUCCESS"


def test_unknown_code_survives_as_a_number() -> None:
    wire = b"\x08\x87\xad\x4b"  # field 1, varint 1234567
    status = Status.FromString(wire)
    assert (status.code, status.SerializeToString()) == (NEWER, wire)
    with pytest.raises(ValueError, match=str(NEWER)):
        StatusCode.Name(status.code)


def test_unknown_code_survives_deep_inside_and_by_assignment() -> None:
    response = service_pb2.MultiOutputResponse(outputs=[resources_pb2.Output(id="a")])
    response.outputs[0].status.code = NEWER  # type: ignore[assignment]
    response.outputs[0].data.regions.add().region_info.point.visibility = 99  # type: ignore[assignment]
    read = service_pb2.MultiOutputResponse.FromString(response.SerializeToString())
    assert read.outputs[0].status.code == NEWER
    assert read.outputs[0].data.regions[0].region_info.point.visibility == 99
