"""Nothing that was given as a secret gets onto a tape, wherever it comes from and wherever it is said again."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import HeadraceError, Input
from headrace.testing import Fail, GrpcFail, ModelDouble, ReceivedInput
from headrace.testing.tape.redaction import Redaction, is_secret
from headrace.v2 import resources_pb2 as pb
from tests.support.rig import MODEL, WIRES, Wire
from tests.support.tapes import Log, recording, replaying

pytestmark = pytest.mark.core

SECRET = "s3cr3t-Pa+/=55"


async def plainly(log: Log) -> None:
    await log.predict("a")


async def in_metadata(log: Log) -> None:
    await log.predict("a", metadata=[("x-api-key", SECRET)])


async def in_other_metadata(log: Log) -> None:
    await log.predict("a", metadata=[("x-tenant", SECRET)])


async def in_parameters(log: Log) -> None:
    await log.predict("a", inference_params={"tools": [{"headers": {"Authorization": f"Bearer {SECRET}"}}]})


async def in_a_nested_parameter(log: Log) -> None:
    await log.predict("a", inference_params={"apiKey": {"value": [SECRET]}})


async def in_a_url(log: Log) -> None:
    url = f"https://bucket.example/cat.jpg?X-Amz-Expires=60&X-Amz-Signature={quote(SECRET, safe='')}"
    await log.predict(Input.from_url(url, input_type="image"), input_type=None)


async def in_a_parameter_of_a_url(log: Log) -> None:
    url = f"https://maps.example/cat.jpg?size=3&key={quote(SECRET, safe='')}"
    await log.predict(Input.from_url(url, input_type="image"), input_type=None)


async def in_a_url_within_a_text(log: Log) -> None:
    await log.predict(f"look at https://someone:{quote(SECRET, safe='')}@host.example/x and say what it is")


#: How a secret is given: what the client is made with, and what it does.
GIVEN: dict[str, tuple[dict[str, Any], Callable[[Log], Awaitable[None]]]] = {
    "pat": ({"pat": SECRET}, plainly),
    "token": ({"token": SECRET}, plainly),
    "metadata": ({}, in_metadata),
    "metadata that the user names": ({"tape": {"strip": ["X_Tenant"]}}, in_other_metadata),
    "parameters": ({}, in_parameters),
    "nested parameters": ({}, in_a_nested_parameter),
    "a signed address": ({}, in_a_url),
    "an address's parameter": ({}, in_a_parameter_of_a_url),
    "an address in a text": ({}, in_a_url_within_a_text),
}
FORMS = {
    "as it is": SECRET,
    "in a URL": quote(SECRET, safe=""),
    "in hex": SECRET.encode().hex(),
    **{
        f"in base64, at {shift}": base64.b64encode(b"u:xyz"[:shift] + SECRET.encode() + b"!").decode()[
            2 * bool(shift) :
        ]
        for shift in range(3)
    },
}


def traces(text: str) -> list[str]:
    """Find the secret in a file, in all the ways in which it may be written."""
    decoded = text.encode().decode("unicode_escape", errors="ignore")
    core = [SECRET, quote(SECRET, safe=""), SECRET.encode().hex(), SECRET[:8]]
    core += [base64.b64encode(b"\0" * n + SECRET.encode()).decode()[4:14] for n in range(3)]
    return [form for form in core if form in text or form in decoded]


@pytest.mark.parametrize("case", GIVEN)
async def test_a_secret_is_not_on_the_tape_and_the_tape_is_replayed_without_it(case: str, tmp_path: Path) -> None:
    options, live = GIVEN[case]
    options = dict(options)
    tape = options.pop("tape", {})
    path = tmp_path / "t.jsonl"
    double = ModelDouble(lambda item: "fine")
    async with recording(path, "memory", double, tape=tape, **options) as client:
        recorded = Log(client)
        await live(recorded)
    assert double.inputs
    assert not traces(path.read_text(encoding="utf-8"))
    async with replaying(path, tape=tape) as client:  # in CI nobody has it
        replayed = Log(client)
        await live(replayed)
    assert replayed.lines == recorded.lines


def said(form: str) -> dict[str, Callable[[ReceivedInput], Any]]:
    """Give the places in which a server may say a secret again."""
    data = pb.Data()
    data.text.raw = f"your key is {form}!"
    data.image.base64 = b"\x00\x01" + form.encode() + b"\x02" * 400
    data.metadata.update({"headers": {"seen": [form]}})
    unknown = pb.Data.FromString(b"\xfa\x7f" + bytes([len(form)]) + form.encode())
    return {
        "an output": lambda item: data,
        "unknown fields": lambda item: unknown,
        "a status": lambda item: Fail(30300, f"bad key {form}"),
        "a gRPC status": lambda item: GrpcFail("INVALID_ARGUMENT", f"key {form} is bad"),
        "a token": lambda item: ["your key is ", form],
    }


@pytest.mark.parametrize("form", FORMS)
async def test_a_credential_that_the_server_repeats_is_not_on_the_tape(form: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    places = said(FORMS[form])
    double = ModelDouble(lambda item: places[item.text](item))
    async with recording(path, "memory", double, pat=SECRET) as client:
        for place in places:
            await Log(client).predict(place)
            await Log(client).generate(place)
            await Log(client).stream([place])
    assert not traces(path.read_text(encoding="utf-8"))
    async with replaying(path) as client:
        for place in places:
            await Log(client).predict(place)
            await Log(client).generate(place)
            await Log(client).stream([place])


@pytest.mark.parametrize("wire", WIRES)
async def test_a_credential_in_the_details_of_a_status_is_not_on_the_tape(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    double = ModelDouble(lambda item: "fine")
    value = b"\x0a" + bytes([len(SECRET)]) + SECRET.encode()
    url = b"type.googleapis.com/test.Reason"
    detail = b"\x0a" + bytes([len(url)]) + url + b"\x12" + bytes([len(value)]) + value

    async def refuse(call: Any) -> None:
        await call.read()
        call.fail("PERMISSION_DENIED", "no", status_details=b"\x08\x07\x1a" + bytes([len(detail)]) + detail)

    double.server.handlers["/clarifai.api.V2/PostModelOutputs"] = refuse
    async with recording(path, wire, double, pat=SECRET) as client:
        with pytest.raises(HeadraceError) as recorded:
            await client.model(**MODEL).predict("a", input_type="text")
    assert SECRET.encode() in recorded.value.status_details[0].value  # type: ignore[attr-defined]
    assert not traces(path.read_text(encoding="utf-8"))
    async with replaying(path) as client:
        with pytest.raises(type(recorded.value)) as replayed:
            await client.model(**MODEL).predict("a", input_type="text")
    stars = value.replace(SECRET.encode(), b"*" * len(SECRET))
    assert replayed.value.status_details == (("type.googleapis.com/test.Reason", stars),)  # type: ignore[attr-defined]


async def test_a_credential_of_a_later_call_is_taken_out_of_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    async with recording(path, "memory", ModelDouble(lambda item: item.text)) as client:
        await Log(client).predict(f"is it {SECRET}?")
        await Log(client).predict("a", metadata=[("x-api-key", f"Key {SECRET}")])
    assert not traces(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "x-api-key",
        "api_key",
        "apiKey",
        "API-KEY",
        "token",
        "access_token",
        "clientSecret",
        "password",
        "cookie",
        "x-clarifai-session-token",
        "pat",
        "hf_token",
        "secret_key",
        "X-Amz-Security-Token",
        "privateKey",
        "sig",
    ],
)
def test_these_names_are_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokens",
        "token_count",
        "key",
        "keys",
        "name",
        "eos_token",
        "stop_token",
        "author",
        "secretary",
        "sort_key",
        "path",
    ],
)
def test_these_names_are_not(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://a.example/x.jpg", "https://a.example/x.jpg"),
        ("https://a.example/x.jpg?id=7&size=3#top", "https://a.example/x.jpg?id=7&size=3#top"),
        ("https://a.example/x.jpg?id=7&token=abc&size=3", "https://a.example/x.jpg?id=7&token=***&size=3"),
        ("HTTPS://a.example/x?se=2030&sig=abc", "HTTPS://a.example/x?***"),
        ("https://a.example/x?X-Goog-Signature=1&X-Goog-Date=2", "https://a.example/x?***"),
        ("https://me:pw@a.example/x?id=1", "https://***@a.example/x?id=1"),
        ("see https://me@a.example, or not", "see https://***@a.example, or not"),
        ("a://b", "a://b"),
    ],
)
def test_addresses_lose_what_signs_them(address: str, kept: str) -> None:
    assert Redaction().text(address) == kept


@given(st.text("abcXYZ019-_/+=. €", min_size=8, max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_a_credential_is_found_within_any_bytes(secret: str, before: bytes, after: bytes) -> None:
    redaction = Redaction()
    secret = secret.strip().ljust(8, "x")
    redaction.remember(secret)
    raw = secret.encode()
    whole = before + raw + after
    cleaned = redaction.data(whole)
    assert len(cleaned) == len(whole)
    assert raw not in cleaned or set(raw) == {ord("*")}
    coded = redaction.text(base64.b64encode(whole).decode())
    with_stars = coded.split("***")
    assert len(with_stars) > 1
