"""Texts of servers: no credential in them, and no end of them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from headrace import errors
from headrace.credentials import Credentials
from headrace.status import call_error, server_error
from headrace.support import texts
from headrace.testing import Fail, GrpcFail
from tests.support.rig import WIRES, Wire, rigged

pytestmark = pytest.mark.core

PAT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_secrets", OrderedDict())


def everything(error: BaseException) -> str:
    return f"{error} {error!r} {error.args} {vars(error)}"


@pytest.mark.parametrize("secret", [PAT, "s3cret", "hush"])
def test_a_credential_is_masked_wherever_a_text_enters(secret: str) -> None:
    Credentials(pat=secret)
    text = f"proxy: Key {secret}; again {secret}"
    found = [
        server_error(10020, description=text, details=text, request_id=f"r-{secret}"),
        call_error("UNAVAILABLE", text, target="h"),
        call_error("UNAUTHENTICATED", text, target="h"),
        call_error("UNKNOWN", text, target="h", http_status=502),
        call_error("DEADLINE_EXCEEDED", text, target="h"),
    ]
    for error in found:
        assert secret not in everything(error)


def test_a_short_credential_leaves_words_alone() -> None:
    Credentials(pat="mode")
    Credentials(pat="a")
    assert texts.masked("a model in mode.") == "a model in ***."


def test_a_credential_across_the_cut_is_masked() -> None:
    Credentials(pat=PAT)
    for shift in range(len(PAT) + 1):
        kept = texts.received("x" * (texts.KEPT_CHARACTERS - shift) + PAT + "y" * 1000)
        assert PAT[:8] not in kept
        assert len(kept) <= texts.KEPT_CHARACTERS


@pytest.mark.parametrize("length", [0, 100, 1999, 2001, 1_000_000])
def test_messages_have_a_length_that_can_be_read(length: int) -> None:
    text = "w" * length
    for error in (
        server_error(10020, description=text, details=text, input_id="i" * length, request_id="r" * length),
        call_error("UNAVAILABLE", text, target="h"),
        call_error("NOT_FOUND", text, target="h"),
        call_error("UNKNOWN", text, target="h", http_status=502),
    ):
        assert len(str(error)) <= texts.SHOWN
        kept = getattr(error, "description", "") or getattr(error, "details", "")
        assert len(kept) == min(length, texts.KEPT_CHARACTERS)
        if length > texts.SHOWN:
            assert "characters)" in str(error)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", ["predict", "generate", "stream"])
@pytest.mark.parametrize("answer", [Fail(10020, "the key is " + PAT, "say " + PAT), GrpcFail("INTERNAL", "Key " + PAT)])
async def test_no_error_or_event_of_a_client_shows_its_credential(
    wire: Wire, shape: str, answer: Any, tmp_path: Path
) -> None:
    async with rigged(wire, tmp_path, lambda item: answer, pat=PAT) as rig:
        with pytest.raises(errors.HeadraceError) as caught:
            if shape == "predict":
                await rig.model.predict_by_bytes(b"x", "text")
            elif shape == "generate":
                await rig.model.generate_by_bytes(b"x", "text").text()
            else:
                async with rig.model.stream_by_bytes([b"x"], "text") as stream:
                    (await anext(stream)).text  # noqa: B018
        assert rig.calls
        error: BaseException | None = caught.value
        while error is not None:
            assert PAT not in everything(error)
            error = error.__cause__
        assert PAT not in repr(rig.events)
