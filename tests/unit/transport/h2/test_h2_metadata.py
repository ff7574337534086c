"""Metadata and statuses over the lean transport: what is sent, what comes, and what errors carry of it."""

from __future__ import annotations

import asyncio
import base64

import pytest

from headrace import errors
from headrace.support.statusdetails import read_details, retry_delay
from headrace.transport.h2.calls import TAKERS, Call
from headrace.transport.h2.engine import events
from headrace.transport.h2.engine.headers import Fields
from headrace.transport.h2.metadata import decoded_binary, encoded_binary
from tests.support.frames import DATA, FrameServer, Peer, frame, message
from tests.support.h2calls import GRPC, METHOD, answered, call, connected, only

pytestmark = pytest.mark.core

STATUS = b"\x08\x05\x1a\x08\x0a\x03t/u\x12\x01v"  # google.rpc.Status with one detail


@pytest.mark.case("G-ST-12")
@pytest.mark.parametrize("kind", ["application/grpc+json", "application/grpc+thrift; a=b"])
async def test_an_answer_in_another_encoding_is_an_error_that_names_it(kind: str) -> None:
    def script(peer: Peer, stream: int) -> None:
        head = peer.headers(stream, (":status", "200"), ("content-type", kind))
        peer.send(head, frame(DATA, 0, stream, message(b"{}")), peer.trailers(stream))

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.PredictionFailed, match=r"answers in application/grpc\+.* \(gRPC INTERNAL\)"):
            await call(transport)


@pytest.mark.case("G-ST-09")
async def test_a_status_in_trailers_counts_whatever_the_headers_were() -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.send(peer.headers(stream, (":status", "503"), ("content-type", "text/html")), peer.trailers(stream, "9"))

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.InvalidRequest, match="FAILED_PRECONDITION"):
            await call(transport)


@pytest.mark.case("G-ST-18")
async def test_a_message_that_is_absent_or_comes_with_success() -> None:
    def script(peer: Peer, stream: int) -> None:
        if stream == 1:
            peer.send(only(GRPC, ("grpc-status", "5"))(peer, stream))
        else:
            trailers = peer.trailers(stream, "0", ("grpc-message", "all is well"))
            peer.send(answered(message(b"fine"), status=None)(peer, stream), trailers)

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.NotFound) as caught:
            await call(transport)
        assert caught.value.description == ""
        assert await call(transport) == b"fine"


DETAILS = {
    "padded": (base64.b64encode(STATUS).decode(), (("t/u", b"v"),)),
    "not padded": (base64.b64encode(STATUS).decode().rstrip("="), (("t/u", b"v"),)),
    "empty": ("", ()),
    "broken base64": ("%%%", ()),
    "broken message": (base64.b64encode(STATUS[:-3]).decode(), ()),
    "a name that is no text": (base64.b64encode(b"\x1a\x04\x0a\x02\xff\xfe").decode(), ()),
}


@pytest.mark.case("G-ST-19", "G-ST-20")
@pytest.mark.parametrize("form", ["trailers alone", "after a message"])
@pytest.mark.parametrize(("text", "details"), DETAILS.values(), ids=DETAILS)
async def test_details_of_a_status_are_kept_and_broken_ones_are_none(
    text: str, details: tuple[tuple[str, bytes], ...], form: str
) -> None:
    def script(peer: Peer, stream: int) -> None:
        fields = (("grpc-message", "no"), ("grpc-status-details-bin", text))
        if form == "trailers alone":
            peer.send(only(GRPC, ("grpc-status", "5"), *fields)(peer, stream))
        else:
            peer.send(answered(message(b"x"), status=None)(peer, stream), peer.trailers(stream, "5", *fields))

    async with FrameServer(script) as server, connected(server) as transport:
        with pytest.raises(errors.NotFound) as caught:
            await call(transport)
        assert caught.value.description == "no"
        assert caught.value.status_details == details


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        (b"\x0a\x02\x08\x03", 3.0),
        (b"\x0a\x06\x10\x80\xca\xb5\xee\x01", 0.5),
        (b"\x0a\x00", None),
        (b"", None),
        (b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01", None),  # -1
        (b"\x0a\x05\x08", None),
        (b"\x0a\x02\x08\x80", None),
    ],
)
def test_the_delay_that_a_server_asks_for(info: bytes, seconds: float | None) -> None:
    url = b"type.googleapis.com/google.rpc.RetryInfo"
    detail = b"\x0a" + bytes((len(url),)) + url + b"\x12" + bytes((len(info),)) + info
    assert retry_delay(read_details(b"\x1a" + bytes((len(detail),)) + detail)) == seconds


@pytest.mark.case("G-ST-21")
async def test_a_negative_pushback_asks_not_to_come_back() -> None:
    def script(peer: Peer, stream: int) -> None:
        hint = ("grpc-retry-pushback-ms", "-1") if stream == 1 else ("retry-after", "-1")
        peer.send(only(GRPC, ("grpc-status", "8"), hint)(peer, stream))

    async with FrameServer(script) as server, connected(server) as transport:
        for expected in (-0.001, None):
            with pytest.raises(errors.Throttled) as caught:
                await call(transport)
            assert caught.value.retry_after == expected


@pytest.mark.case("G-MD-01", "G-MD-06")
async def test_metadata_of_an_answer_comes_with_its_headers_and_with_its_trailers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[type, Fields]] = []

    def recording(taker: object) -> object:
        def take(call_: Call, event: events.ResponseHeaders | events.Trailers) -> None:
            seen.append((type(event), event.fields))
            taker(call_, event)  # type: ignore[operator]

        return take

    for kind in (events.ResponseHeaders, events.Trailers):
        monkeypatch.setitem(TAKERS, kind, recording(TAKERS[kind]))
    extra = (("a-bin", encoded_binary(b"\0\xff")), ("name", "value"))
    async with FrameServer(on_headers=lambda peer, stream: peer.send(peer.response(stream, *extra))) as server:
        server.on_request = lambda peer, stream: peer.send(
            frame(DATA, 0, stream, message(b"x")), peer.trailers(stream, "0", *extra)
        )
        async with connected(server) as transport:
            stream = transport.open(METHOD, ())
            while not seen:  # before any message
                await asyncio.sleep(0.001)
            await stream.half_close()
            assert await stream.read() == b"x"
            assert await stream.read() is None
    assert [kind for kind, _ in seen] == [events.ResponseHeaders, events.Trailers]
    for _, fields in seen:
        assert decoded_binary(fields.first["a-bin"]) == b"\0\xff"
        assert fields.first["name"] == "value"


@pytest.mark.case("G-MD-02")
async def test_a_name_that_is_sent_three_times_arrives_three_times_in_order() -> None:
    async with FrameServer() as server, connected(server) as transport:
        await transport.unary(METHOD, [b"x"], [("a", "1"), ("b-bin", "x"), ("a", "2,3"), ("a", "")], 10)
        fields = server.peer.fields[1]
        assert [value for name, value in fields if name == "a"] == ["1", "2,3", ""]
    received = Fields([(b"a", b"1"), (b"b", b"x"), (b"a", b"2,3")])
    assert [value for name, value in received.items if name == "a"] == ["1", "2,3"]


@pytest.mark.case("G-MD-03", "G-MD-04", "G-MD-05")
@pytest.mark.parametrize(
    ("text", "value"),
    [("AAE=", b"\0\1"), ("AAE", b"\0\1"), ("", b""), ("AA", b"\0"), ("A", None), ("AA=A", None), ("\xe9", None)],
)
def test_binary_values_padded_and_not(text: str, value: bytes | None) -> None:
    assert decoded_binary(text) == value
    if value is not None:
        assert encoded_binary(value) == text.rstrip("=")
