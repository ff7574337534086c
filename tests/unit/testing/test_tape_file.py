"""The file of a tape: how it reads, what is wrong with it, and when it is written."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.testing import (
    GrpcFail,
    ModelDouble,
    Tape,
    TapeDamaged,
    TapeError,
    TapeMissing,
    TapeTooNew,
    TapeUnwritable,
)
from headrace.v2 import resources_pb2 as pb
from tests.support.rig import MODEL
from tests.support.tapes import NOBODY, Log, recording, replaying

pytestmark = pytest.mark.core


def echo(item: Any) -> str:
    return str(item.text)


async def recorded(path: Path, function: Any = echo, **options: Any) -> None:
    async with recording(path, "memory", ModelDouble(function), **options) as client:
        log = Log(client)
        await log.predict("hello")
        await log.generate("go")
        await log.stream(["a", "b"])


async def test_it_is_an_event_a_line_in_a_stable_order(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    await recorded(path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [next(iter(line)) for line in lines] == [
        "headrace_tape",
        *("call", "send", "receive", "end", "times"),
        *("call", "send", "receive", "end", "times"),
        *("call", "send", "send", "half_close", "receive", "receive", "end", "times"),
        "end_of_tape",
    ]
    assert lines[1] == {"call": "PostModelOutputs", "shape": "unary"}
    assert lines[2]["send"]["inputs"] == [{"data": {"text": {"raw": "hello"}}, "id": "<input 1>"}]
    assert lines[-1] == {"end_of_tape": {"calls": 3}}


async def test_two_recordings_of_the_same_differ_in_their_times_alone(tmp_path: Path) -> None:
    texts = []
    for name in ("one.jsonl", "two.jsonl"):
        await recorded(tmp_path / name)
        texts.append((tmp_path / name).read_text(encoding="utf-8").splitlines())
    different = [line for line, other in zip(*texts, strict=True) if line != other]
    assert all(line.startswith('{"times": ') for line in different)


async def test_long_bytes_that_are_sent_are_there_by_their_hash_and_those_received_once(tmp_path: Path) -> None:
    sound, answer = b"RIFF\x00\x00\x00\x00WAVE" + os.urandom(40_000), os.urandom(30_000)

    def paint(item: Any) -> pb.Data:
        return pb.Data(image=pb.Image(base64=answer))

    path = tmp_path / "t.jsonl"
    async with recording(path, "memory", ModelDouble(paint)) as client:
        for _ in range(2):
            await Log(client).predict(sound, input_type="audio")
    text = path.read_text(encoding="utf-8")
    assert base64.b64encode(sound).decode() not in text
    assert text.count(base64.b64encode(answer).decode()) == 1
    assert len(text) < 45_000
    async with replaying(path) as client:
        model = client.model(**MODEL)
        assert (await model.predict(sound, input_type="audio")).data.image.base64 == answer


async def test_fields_that_nobody_knows_and_numbers_that_json_has_not_survive(tmp_path: Path) -> None:
    data = pb.Data()
    data.embeddings.add(vector=[0.1, float("nan"), float("inf"), -0.0], num_dimensions=4)
    data.text.raw = "\u2028 é \x00"
    unknown = data.SerializeToString() + b"\xfa\x7f\x05later"  # field 2047
    answer = pb.Data.FromString(unknown)
    path = tmp_path / "t.jsonl"
    double = ModelDouble(lambda item: answer)
    async with recording(path, "memory", double) as client:
        first = await client.model(**MODEL).predict("x", input_type="text")
    async with replaying(path) as client:
        second = await client.model(**MODEL).predict("x", input_type="text")
    assert first.raw.replace(first.input_id.encode(), b"") == second.raw.replace(second.input_id.encode(), b"")


#: How a file is spoiled, which error that is, and some words of it.
SPOILED: dict[str, tuple[Callable[[list[str]], list[str]], type[TapeError], str]] = {
    "empty": (lambda lines: [], TapeDamaged, "is empty"),
    "blank": (lambda lines: ["", ""], TapeDamaged, "is empty"),
    "no end": (lambda lines: lines[:-1], TapeDamaged, "last line is missing"),
    "cut within a line": (lambda lines: [*lines[:5], lines[5][:20]], TapeDamaged, "line 6 .*cut off"),
    "a call is gone": (lambda lines: [lines[0], *lines[6:]], TapeDamaged, "says that it has 3 calls, and has 2"),
    "a later version": (lambda lines: ['{"headrace_tape": 99}', *lines[1:]], TapeTooNew, "format 99.*update"),
    "something else": (lambda lines: ["hello"], TapeDamaged, "damaged at line 1"),
    "JSON of something else": (lambda lines: ['{"log": 1}'], TapeDamaged, "is no tape"),
    "a version that is no number": (lambda lines: ['{"headrace_tape": true}'], TapeDamaged, "is no tape"),
    "a list": (lambda lines: [lines[0], "[1]"], TapeDamaged, "line 2.*no JSON object"),
    "an event before a call": (lambda lines: [lines[0], lines[2]], TapeDamaged, "line 2.*before the first call"),
    "an unknown event": (lambda lines: [*lines[:2], '{"sing": 1}'], TapeDamaged, "line 3.*'sing'"),
    "a conflict of git": (lambda lines: [*lines[:3], "<<<<<<< HEAD", *lines[3:]], TapeDamaged, "line 4"),
    "no message": (lambda lines: [*lines[:2], '{"send": 3}', *lines[3:]], TapeDamaged, "line 3.*needs a message"),
    "an unknown field": (
        lambda lines: [*lines[:3], '{"receive": {"no_such": 1}}', *lines[4:]],
        TapeDamaged,
        "line 4.*no_such",
    ),
    "bytes that are not there": (
        lambda lines: [*lines[:3], '{"receive": {"bytes": "sha256:ff"}}', *lines[4:]],
        TapeDamaged,
        "line 4.*sha256:ff",
    ),
    "no such error": (lambda lines: [*lines[:4], '{"end": {"error": "X"}}', *lines[5:]], TapeDamaged, "line 5.*'X'"),
    "no such end": (lambda lines: [*lines[:4], '{"end": "soon"}', *lines[5:]], TapeDamaged, "line 5"),
    "no shape": (lambda lines: [lines[0], '{"call": "GetModel"}', *lines[2:]], TapeDamaged, "line 2"),
    "something after the end": (lambda lines: [*lines, lines[1]], TapeDamaged, "after its end, at line 21"),
}


@pytest.mark.parametrize("case", SPOILED)
async def test_a_file_that_cannot_be_used_says_what_is_wrong_and_what_to_do(case: str, tmp_path: Path) -> None:
    spoil, error, words = SPOILED[case]
    path = tmp_path / "t.jsonl"
    await recorded(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(spoil(lines)), encoding="utf-8")
    with pytest.raises(error, match=words) as caught:
        Tape(path)
    assert "record it again" in str(caught.value)
    assert caught.value.path == str(path)


async def test_a_file_that_was_edited_and_saved_with_other_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    await recorded(path)
    text = path.read_text(encoding="utf-8").replace('"hello"', '"good day"').replace("\n", "\r\n\r\n")
    path.write_bytes(text.encode())
    async with replaying(path) as client:
        assert (await client.model(**MODEL).predict("good day", input_type="text")).text == "good day"


def test_a_tape_that_is_not_there_is_no_folder_and_no_text_of_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(TapeMissing, match=r"no tape .*none\.jsonl.*record"):
        Tape(tmp_path / "none.jsonl")
    with pytest.raises(TapeDamaged, match="cannot be read"):
        Tape(tmp_path)
    (tmp_path / "t.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TapeDamaged, match="damaged at line 1"):
        Tape(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "play"}, "mode must be"),
        ({"speed": -1}, "speed must be"),
        ({"speed": float("nan")}, "speed must be"),
        ({"speed": True}, "speed must be"),
        ({"strip": "token"}, r"strip=\['token'\]"),
        ({"mode": "record", "transport": "pigeon"}, "transport must be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(headrace.ConfigError, match=words):
        Tape(tmp_path / "t.jsonl", **arguments)


# -- when it is written


async def test_once_records_and_then_replays(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "t.jsonl"
    double = ModelDouble(echo)
    for count in (1, 1):
        tape = Tape(path, "once", transport=double)
        async with headrace.Client(base_url=NOBODY, transport=tape) as client:
            assert (await client.model(**MODEL).predict("hello", input_type="text")).text == "hello"
        assert len(double.inputs) == count


async def test_a_recording_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    await recorded(path)
    async with recording(path, "memory", ModelDouble(echo)) as client:
        await Log(client).predict("another")
    assert [call.method for call in Tape(path).unused] == ["PostModelOutputs"]


async def test_what_is_interrupted_leaves_the_old_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    await recorded(path)
    before = path.read_bytes()
    for error in (KeyboardInterrupt, AssertionError, asyncio.CancelledError):
        with pytest.raises(error), Tape(path, "record", transport=ModelDouble(echo)) as tape:
            async with headrace.Client(base_url=NOBODY, transport=tape) as client:
                await Log(client).predict("cut off")
                raise error
        assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_a_tape_of_several_clients_is_written_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Tape(path, "record", transport=ModelDouble(echo)) as tape:
        for text in ("a", "b"):
            async with headrace.Client(base_url=NOBODY, transport=tape) as client:
                await Log(client).predict(text)
            assert not path.exists()
    with Tape(path) as tape:
        for text in ("b", "a"):
            async with headrace.Client(base_url=NOBODY, transport=tape) as client:
                await Log(client).predict(text)
        tape.check(unused=True)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else False, reason="nothing is forbidden to root")
async def test_a_folder_that_cannot_be_written_to_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TapeUnwritable, match="cannot be written"), Tape(tmp_path / "t.jsonl", "record"):
        pass


def test_a_place_that_cannot_be_written_to_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TapeUnwritable, match=r"t\.jsonl cannot be written .*give another path"):
        Tape(tmp_path / "file" / "t.jsonl", "record").close()
    (tmp_path / "folder").mkdir()
    with pytest.raises(TapeUnwritable, match="cannot be written"):
        Tape(tmp_path / "folder", "record").close()


async def test_a_recording_takes_as_long_as_it_took_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"

    async def slow(item: Any) -> Any:
        for _ in range(3):
            await asyncio.sleep(0.1)
            yield "x"

    async with recording(path, "memory", ModelDouble(slow)) as client:
        await Log(client).generate("go")
    loop = asyncio.get_running_loop()
    seconds = {}
    for speed in (0.0, 1.0, 4.0):
        async with replaying(path, tape={"speed": speed}) as client:
            start = loop.time()
            await Log(client).generate("go")
            seconds[speed] = loop.time() - start
    assert seconds[1.0] >= 0.3
    assert seconds[4.0] >= 0.075
    assert seconds[0.0] < seconds[1.0]


async def test_errors_keep_their_facts_and_name_the_server_of_now(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    failure = GrpcFail("UNAVAILABLE", "down", retry_after=-1.0)
    async with recording(path, "memory", ModelDouble(lambda item: failure)) as client:
        await Log(client).predict("a")
    assert "127.0.0.1" not in path.read_text(encoding="utf-8")
    async with headrace.Client(base_url="http://localhost:9", transport=Tape(path)) as client:
        with pytest.raises(headrace.ConnectionLost, match=r"^http://localhost:9: ") as caught:
            await client.model(**MODEL).predict("a", input_type="text")
    assert (caught.value.target, caught.value.retry_after) == ("http://localhost:9", -1.0)
