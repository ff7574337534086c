"""Connect's conformance cases for a gRPC client, over the lean transport, and over grpc for comparison."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf import any_pb2, json_format

from headrace import errors
from headrace.config import TLS, Target, Transmission
from headrace.transport.base import Transport
from headrace.transport.grpc.client import GrpcTransport
from headrace.transport.h2.calls import TAKERS
from headrace.transport.h2.engine import events
from headrace.transport.h2.transport import H2Transport
from tests.support.connectproto import CODES, POOL, Case, cases, make
from tests.support.connectserver import SERVICE, scripted, serving
from tests.support.frames import FrameServer

#: Cases that are judged otherwise, and why: the codes that pass instead.
ONE_ANSWER = "an answer too few or too many is INTERNAL, as older gRPC stacks have it"
NO_SHAPE = "headrace has no calls that stream requests alone: their single answer is counted by nobody"
DIFFERENT: dict[str, tuple[str, str]] = {
    "client_http_to_rpc_code/request-header-fields-too-large": ("INTERNAL", "431 is to headers what 400 is to all"),
    "grpc_client_unexpected/unary/ok-but-no-response": ("INTERNAL", ONE_ANSWER),
    "grpc_client_unexpected/unary/multiple-responses": ("INTERNAL", ONE_ANSWER),
    "grpc_client_unexpected/client-stream/ok-but-no-response": ("", NO_SHAPE),
    "grpc_client_unexpected/client-stream/multiple-responses": ("", NO_SHAPE),
}
CASES = {case.id: case for case in cases()}
METHODS = {"UNARY": "Unary", "CLIENT_STREAM": "ClientStream", "SERVER_STREAM": "ServerStream"}
RESPONSES = {"Unary": "UnaryResponse", "ClientStream": "ClientStreamResponse", "ServerStream": "ServerStreamResponse"}


@dataclass
class Outcome:
    """What a client got of a call."""

    payloads: list[Any] = field(default_factory=list)
    error: errors.HeadraceError | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def code(self) -> str:
        name = getattr(self.error, "status", "") or getattr(self.error, "name", "")
        if isinstance(self.error, errors.ConnectionLost) and "cancelled" in str(self.error):
            return "CANCELED"  # by ourselves: such an error has no status
        return "CANCELED" if name == "CANCELLED" else name

    @property
    def text(self) -> str:
        return getattr(self.error, "details", "") or getattr(self.error, "description", "")


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Note the metadata of an answer as it passes: nothing above the transport asks for it."""
    made = Outcome()

    def note(kind: type[Any]) -> None:
        taker = TAKERS[kind]

        def take(call: Any, event: Any) -> None:
            trailers = kind is events.Trailers or event.end
            (made.trailers if trailers else made.headers).extend(event.fields.items)
            taker(call, event)

        monkeypatch.setitem(TAKERS, kind, take)

    note(events.ResponseHeaders)
    note(events.Trailers)
    return made


def method_of(case: Case) -> str:
    name = case.request.get("method") or METHODS.get(shape_of(case), "BidiStream")
    return SERVICE + name


def shape_of(case: Case) -> str:
    shape: str = case.request["streamType"].removeprefix("STREAM_TYPE_")
    return shape


async def run(case: Case, transport: Transport, outcome: Outcome) -> None:
    """Make the call that a case describes."""
    metadata = [
        (header["name"].lower(), value)
        for header in case.request.get("requestHeaders") or ()
        for value in header["value"]
    ]
    timeout = case.request["timeoutMs"] / 1000 if "timeoutMs" in case.request else None
    cancel = case.request.get("cancel") or {}
    messages = case.messages()
    method = method_of(case)
    response = RESPONSES.get(method.rpartition("/")[2], "BidiStreamResponse")

    def keep(raw: bytes) -> None:
        message = make(response)
        message.ParseFromString(raw)
        outcome.payloads.append(message.payload)

    try:
        if shape_of(case) == "UNARY" and not cancel:
            keep(await transport.unary(method, messages[:1], tuple(metadata), timeout))
            return
        stream = transport.open(method, tuple(metadata), timeout=timeout)
        limit = cancel.get("afterNumResponses", -1)
        for message in messages:
            await stream.write([message])
            if shape_of(case) == "FULL_DUPLEX_BIDI_STREAM" and len(outcome.payloads) != limit:
                answer = await stream.read()
                if answer is not None:
                    keep(answer)
                if len(outcome.payloads) == limit:
                    stream.cancel()
                    break
        if "beforeCloseSend" in cancel:
            stream.cancel()
        else:
            await stream.half_close()
        if "afterCloseSendMs" in cancel:
            await asyncio.sleep(cancel["afterCloseSendMs"] / 1000)
            stream.cancel()
        while (answer := await stream.read()) is not None:
            keep(answer)
            if len(outcome.payloads) == limit:
                stream.cancel()
    except errors.HeadraceError as error:
        outcome.error = error.with_traceback(None)


def expected_of(case: Case) -> dict[str, Any]:
    """Give what a case expects, or derive it from what the server is told."""
    if case.expected is not None:
        return case.expected
    definition = case.definition
    data = definition.get("responseData", [])
    payloads = data if isinstance(data, list) else [data]
    if shape_of(case) in ("UNARY", "CLIENT_STREAM") and "error" not in definition:
        payloads = payloads or [""]
    return {
        "error": definition.get("error"),
        "payloads": [{"data": one} for one in payloads],
        "responseHeaders": definition.get("responseHeaders"),
        "responseTrailers": definition.get("responseTrailers"),
    }


def judge(case: Case, outcome: Outcome, *, metadata: bool) -> None:
    """Compare what came with what is expected."""
    expected = expected_of(case)
    error = expected.get("error")
    different = DIFFERENT.get(case.id)
    if error is None:
        assert outcome.error is None, outcome.error
    else:
        codes = [code_name(error["code"]), *map(code_name, case.allowed)]
        if different is not None:
            codes.append(different[0])
        assert outcome.code in codes, (outcome.code, outcome.error)
        if error.get("message"):
            assert outcome.text == error["message"]
        details = getattr(outcome.error, "status_details", ())
        for detail in error.get("details") or ():
            packed = any_pb2.Any()
            json_format.ParseDict(detail, packed, descriptor_pool=POOL)
            assert (packed.type_url, packed.value) in details
    wanted = [base64.b64decode(payload.get("data") or "") for payload in expected.get("payloads") or ()]
    assert [payload.data for payload in outcome.payloads] == wanted
    if case.raw is None and not case.request.get("cancel") and case.expected is None:
        judge_request(case, outcome, failed_at_once=error is not None and not wanted)
    if metadata:
        came = outcome.headers + outcome.trailers
        for header in [*(expected.get("responseHeaders") or ()), *(expected.get("responseTrailers") or ())]:
            values = [value for name, value in came if name == header["name"].lower()]
            assert ",".join(values).replace(", ", ",").split(",") == header["value"]


def judge_request(case: Case, outcome: Outcome, *, failed_at_once: bool) -> None:
    """Compare what the server says that it saw with what was sent."""
    infos = [payload.request_info for payload in outcome.payloads]
    if failed_at_once:
        info = make("RequestInfo")
        attached: tuple[errors.StatusDetail, ...] = getattr(outcome.error, "status_details", ())
        info.ParseFromString(attached[-1].value)
        infos = [info]
    if not infos:
        return
    assert [request.value for info in infos for request in info.requests] == case.messages()
    sent = {header.name: list(header.value) for header in infos[0].request_headers}
    for header in case.request.get("requestHeaders") or ():
        assert ",".join(sent[header["name"].lower()]).replace(", ", ",").split(",") == header["value"]
    timeout = case.request.get("timeoutMs")
    if timeout is None:
        assert infos[0].timeout_ms == 0
    else:
        assert timeout - 500 <= infos[0].timeout_ms <= timeout


def code_name(code: str | int) -> str:
    return CODES[code] if isinstance(code, int) else code.removeprefix("CODE_")


@contextlib.asynccontextmanager
async def server_for(case: Case, *, compressed: bool) -> AsyncIterator[tuple[str, TLS]]:
    """Serve a case; gives the address, and the certificates that a client needs."""
    if case.raw is not None:
        async with FrameServer(scripted(case.raw)) as server:
            yield server.address, TLS()
        return
    tls, credentials = TLS(), None
    if case.suite.get("reliesOnTls"):
        authority = trustme.CA()
        ours, theirs = authority.issue_cert("client"), authority.issue_cert("127.0.0.1")
        root = authority.cert_pem.bytes()
        pair = (theirs.private_key_pem.bytes(), b"".join(pem.bytes() for pem in theirs.cert_chain_pems))
        credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=True)
        tls = TLS(
            root_certificates=root,
            certificate=b"".join(pem.bytes() for pem in ours.cert_chain_pems),
            key=ours.private_key_pem.bytes(),
        )
    compression = grpc.Compression.Gzip if compressed else None
    async with serving(compression=compression, credentials=credentials) as port:
        yield f"{'https' if credentials else 'http'}://127.0.0.1:{port}", tls


async def check(case: Case, outcome: Outcome, kind: type[Any], *, compressed: bool = False) -> None:
    async with server_for(case, compressed=compressed) as (address, tls):
        transport = kind(Target.parse(address), Transmission(tls=tls))
        try:
            await run(case, transport, outcome)
        finally:
            await transport.close(0)
    judge(case, outcome, metadata=kind is H2Transport)


def compressible(case: Case) -> bool:
    allowed = case.suite.get("relevantCompressions") or ["COMPRESSION_GZIP"]
    return case.raw is None and "COMPRESSION_GZIP" in allowed


def judged() -> list[str]:
    return [name for name in CASES if DIFFERENT.get(name, ("", ""))[1] != NO_SHAPE]


def test_none_is_missing() -> None:
    assert (len(CASES), sum(case.raw is not None for case in CASES.values()), len(judged())) == (125, 37, 123)
    assert set(DIFFERENT) <= set(CASES)


@pytest.mark.parametrize("name", judged())
async def test_a_case_of_connects(name: str, outcome: Outcome) -> None:
    await check(CASES[name], outcome, H2Transport)


@pytest.mark.conformance
@pytest.mark.parametrize("name", [name for name in judged() if compressible(CASES[name])])
async def test_a_case_of_connects_with_gzip(name: str, outcome: Outcome) -> None:
    await check(CASES[name], outcome, H2Transport, compressed=True)


#: Where gRPC's own client does otherwise: it waits after a second answer, takes any encoding, and rounds timeouts up.
GRPC_DIFFERS = (
    "grpc_client_unexpected/unary/multiple",
    "grpc_client_unexpected/unexpected-codec",
    "deadline_propagation/",
)


@pytest.mark.conformance
@pytest.mark.parametrize("name", [name for name in judged() if not name.startswith(GRPC_DIFFERS)])
async def test_a_case_of_connects_over_grpc(name: str, outcome: Outcome) -> None:
    await check(CASES[name], outcome, GrpcTransport)
