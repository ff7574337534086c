"""What is fuzzed. A target takes a number, makes an input of it and raises where something is wrong."""

from __future__ import annotations

import asyncio
import math
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hpack

from fuzz import oracle
from fuzz.mutation import Server, cut, mutated
from headrace.config import Target
from headrace.errors import HeadraceError
from headrace.status import retry_hint
from headrace.support.statusdetails import read_details, retry_delay
from headrace.transport.h2 import outcome
from headrace.transport.h2.diagnosis import printable, recognize
from headrace.transport.h2.engine import Engine, H2Limits, events
from headrace.transport.h2.engine.frames import ConnectionFault, StreamFault
from headrace.transport.h2.engine.headers import BlockDecoder, Fields, block
from headrace.transport.h2.messages import Assembler, MessageError, whole_messages
from headrace.transport.h2.metadata import decoded_binary, encoded_binary, timeout_text
from headrace.transport.h2.proxy import Proxy, Tunnel

CORPUS = Path(__file__).parent / "corpus"
_MESSAGE_LIMIT = 2_000


def corpus(name: str) -> list[bytes]:
    """Read the inputs that a target begins with: one a line, in hexadecimal."""
    lines = (CORPUS / f"{name}.txt").read_text(encoding="ascii").split("\n")
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def engine(number: int) -> None:
    """Whatever arrives, and however it is cut: the same events, the same output, only our own verdicts, little kept."""
    dice = random.Random(number)
    if dice.random() < 0.3:
        data = mutated(dice, dice.choice(corpus("engine")))
    else:
        data = b"".join(Server(dice, table=dice.random() < 0.3).exchange())
    whole, pieces = _read(data, [data]), _read(data, cut(dice, data))
    assert whole == pieces, f"{whole} != {pieces}"


def _read(data: bytes, pieces: list[bytes]) -> tuple[Any, ...]:
    limits = H2Limits(frame_bytes=16_384, stream_window_bytes=65_535, connection_window_bytes=65_535)
    connection = Engine(limits)
    connection.receive(b"\0\0\0\4\0\0\0\0\0")
    for _ in range(3):
        connection.request(b"\x83", end=dice_end(data))
    connection.take_output()
    reported: list[Any] = []
    output = b""
    for piece in pieces:
        reported += connection.receive(piece)
        output += b"".join(map(bytes, connection.take_output()))
    content: dict[int, bytes] = {}
    others = []
    for event in frame_by_frame(reported):
        if isinstance(event, events.Content):
            content[event.stream.id] = content.get(event.stream.id, b"") + bytes(event.data)
        else:
            stream = getattr(event, "stream", None)
            fields = getattr(event, "fields", None)
            others.append((type(event).__name__, stream and stream.id, fields and fields.items))
    failure = connection.failure
    held = len(connection._reader._rest) + sum(len(frame) for frame in connection.output.frames)
    assert held <= limits.frame_bytes + 9
    assert len(connection.streams) <= 3
    cut_off = {} if failure is not None else content  # content of the last receive before a failure
    return others, cut_off, sorted(output) if failure is None else failure, sorted(connection.streams)


def frame_by_frame(reported: list[events.Event]) -> Iterator[events.Event]:
    """Give the events of whole answers as those of their frames."""
    for event in reported:
        if isinstance(event, events.Answer):
            yield events.ResponseHeaders(event.stream, event.headers, False)
            yield events.Content(event.stream, event.data, len(event.data), False)
            yield events.Trailers(event.stream, event.trailers)
        else:
            yield event


def dice_end(data: bytes) -> bool:
    """Choose from the input itself whether the requests are complete."""
    return bool(zlib.crc32(data) & 1)


def headers(number: int) -> None:
    """The cache never changes what a block means, and no block raises what is not ours."""
    dice = random.Random(number)
    ours, plain = BlockDecoder(), BlockDecoder()
    server = hpack.Encoder()
    if dice.random() < 0.7:
        server.header_table_size = 0
        ours.settings_acknowledged()
        plain.settings_acknowledged()
    seen = corpus("headers")
    for _ in range(12):
        if dice.random() < 0.5:
            data = dice.choice(seen)
        else:
            data = server.encode([(":status", "200"), ("name", str(dice.randrange(3))), ("a-bin", "AAA")])
        if dice.random() < 0.3:
            data = mutated(dice, data)
        seen.append(data)
        results = []
        for decode in (ours.decode, lambda raw: Fields(plain.decode_raw(raw))):
            fields: tuple[tuple[str, str], ...] = ()
            try:
                decoded = decode(data)
                fields, verdict = decoded.items, f"{decoded.status}, {decoded.content_length}"
            except StreamFault as fault:
                verdict = f"stream: {fault.reason}"
            except ConnectionFault as fault:
                verdict = f"connection: {fault.reason}"
            results.append((verdict, fields))
        assert results[0] == results[1], f"{results[0]} != {results[1]}"
        if results[0][0].startswith("connection"):
            return
        read_back = hpack.Decoder(max_header_list_size=1 << 20).decode(block(results[0][1]), raw=True)
        assert len(list(read_back)) == len(results[0][1])


def messages(number: int) -> None:
    """Messages come out the same however they are cut, none is over the limit, and nothing else is raised."""
    dice = random.Random(number)
    stream = bytearray()
    for _ in range(dice.randrange(1, 5)):
        content = bytes(dice.randrange(256) for _ in range(dice.choice((0, 1, 30, 300))))
        packed = dice.random() < 0.4
        if packed:
            packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
            content = packer.compress(content * dice.choice((1, 1, 50))) + packer.flush()
        stream += bytes((packed,)) + len(content).to_bytes(4, "big") + content
    data = bytes(stream) if dice.random() < 0.3 else mutated(dice, bytes(stream))
    encoding = dice.choice(("gzip", "deflate", "identity", "zstd"))
    whole, pieces = _assemble([data], encoding), _assemble(cut(dice, data), encoding)
    assert whole == pieces, f"{whole} != {pieces}"
    quick = whole_messages(data, _MESSAGE_LIMIT)
    assert quick is None or (quick, "", True) == whole, f"{quick} != {whole}"


def _assemble(pieces: list[bytes], encoding: str) -> tuple[list[bytes], str, bool]:
    assembler = Assembler(_MESSAGE_LIMIT, encoding)
    complete: list[bytes] = []
    for piece in pieces:
        try:
            complete += assembler.take(piece)
        except MessageError as error:  # those before it in the same piece are lost, as the call fails
            return [], str(error), False
        assert all(len(message) <= _MESSAGE_LIMIT for message in complete)
    return complete, "", assembler.empty


def texts(number: int) -> None:
    """Statuses, messages, hints, details and binary values: anything becomes an error of ours that can be shown."""
    dice = random.Random(number)
    value = mutated(dice, dice.choice(corpus("texts")))
    text = value.decode("latin-1").translate({0: "", 10: "", 13: ""})
    status = dice.choice(("0", "5", "8", "14", "4", "", text[:5]))
    raw = [(b"grpc-status", status.encode("latin-1")), (b"grpc-message", text.encode("latin-1"))]
    raw += [
        (dice.choice((b"retry-after", b"grpc-retry-pushback-ms", b"grpc-status-details-bin")), text.encode("latin-1"))
    ]
    fields = Fields(raw)
    for error in (outcome.error_of_status(fields, "target"), outcome.error_of_http(fields, value, "target")):
        if error is not None:
            assert isinstance(error, HeadraceError)
            assert all(char.isprintable() or char in "\t\n\r" for char in str(error)), repr(str(error))
            assert "\r" not in str(error).replace("\r\n", ""), repr(str(error))
            assert len(str(error)) < 5_000
    hint = retry_hint(fields.items)
    assert hint is None or math.isfinite(hint)
    details = read_details(value)
    retry_delay(details)
    binary = decoded_binary(text)
    assert binary is None or decoded_binary(encoded_binary(binary)) == binary
    seconds = dice.choice((1e-9, 1e-3, 1.0, 1e5, 1e9, 1e12)) * (dice.random() + 1e-9)
    written = timeout_text(seconds)
    unit = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1.0, "M": 60.0, "H": 3600.0}[written[-1]]
    assert 1 <= int(written[:-1]) <= 99_999_999
    assert seconds <= int(written[:-1]) * unit * (1 + 1e-12) or written == "99999999H"
    assert int(written[:-1]) * unit < seconds + unit * (1 + 1e-9) or written == "99999999H"


class _Socket:
    """A transport that goes nowhere."""

    def write(self, data: bytes) -> None:
        """Take nothing."""

    def abort(self) -> None:
        """End nothing."""

    pause_reading = abort


def connecting(number: int) -> None:
    """What answers in the place of a server or a proxy: recognized, refused or let through, and nothing is kept."""
    dice = random.Random(number)
    data = mutated(dice, dice.choice(corpus("connecting")))
    misfit = recognize(data)
    assert misfit is None or printable(str(misfit)) == str(misfit)
    loop = asyncio.new_event_loop()
    try:
        tunnel = Tunnel(loop, Proxy("http://user:hush@proxy.example:3128"), Target.parse("https://model.example"))
        tunnel.connection_made(_Socket())  # type: ignore[arg-type]
        for piece in cut(dice, data):
            if not tunnel.opened.done():
                tunnel.data_received(piece)
        tunnel.connection_lost(None)
        assert len(tunnel._answer) <= 16_384 + len(data)
        error = tunnel.opened.exception()
        if error is not None:
            assert "hush" not in str(error)
            assert str(error).isprintable(), repr(str(error))
    finally:
        loop.close()


def verdicts(number: int) -> None:
    """The same frames, read by nghttp2: the same verdict, but for a listed set."""
    oracle.compare(number)


TARGETS: dict[str, Callable[[int], None]] = {
    "engine": engine,
    "headers": headers,
    "messages": messages,
    "texts": texts,
    "connecting": connecting,
    "verdicts": verdicts,
}
