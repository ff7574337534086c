"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import pytest_headrace
from headrace.server.fault_file import FaultFileError, parse
from headrace.testing import Tape
from pytest_headrace.faults import to_toml

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
UNSET = "ignore:The configuration option:pytest.PytestDeprecationWarning"  # of pytest-asyncio, not ours
PLUGIN = ("-p", "pytest_headrace", "-p", "no:cacheprovider", "--strict-markers", "-W", "error", "-W", UNSET)
ASYNCIO = ("-p", "pytest_asyncio.plugin")
XDIST = ("-p", "xdist.plugin", "-n", "2")

pytestmark = pytest.mark.timeout(400)  # runs of pytest, each with its imports


@pytest.fixture(autouse=True)
def _only_the_plugins_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    if "xdist.plugin" in arguments:
        return pytester.runpytest_subprocess(*PLUGIN, *arguments, timeout=300)
    return pytester.runpytest_inprocess(*PLUGIN, *arguments)  # most of the time of a process would be its imports


def test_it_is_what_the_entry_point_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_headrace": pytest_headrace.__name__}
    assert "src/pytest_headrace" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_nothing_of_headrace_is_imported_before_a_fixture_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_them="""
        import sys, pytest

        def modules():
            return [name for name in sys.modules if name.split(".")[0] in ("headrace", "grpc", "google")]

        def test_plain(): assert not modules()

        @pytest.mark.headrace_faults(code=11005)
        @pytest.mark.headrace_tape(strict=True)
        def test_marked(): assert not modules()

        def test_using(model_double): assert modules()
        """,
        look="""
        import sys, pytest

        arguments = sys.argv[1:]
        code = pytest.main([*arguments, "-q", "test_them.py"])
        names = {name.split(".")[0] for name in sys.modules}
        print("imported:", sorted(names & {"headrace", "grpc", "google", "pytest_headrace"}), int(code))
        """,
    )
    result = pytester.run(sys.executable, "look.py", *PLUGIN, "--collect-only")
    result.stdout.fnmatch_lines(["imported: ['pytest_headrace'] 0"])
    result = pytester.run(sys.executable, "look.py", *PLUGIN)
    result.stdout.fnmatch_lines(["3 passed*", "imported: *'headrace'* 0"])


#: How tests are written: the test's decorator and the options of pytest.
STYLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "asyncio, auto": ("", (*ASYNCIO, "-o", "asyncio_mode=auto")),
    "asyncio, strict, xdist": ("@pytest.mark.asyncio", (*ASYNCIO, "-o", "asyncio_mode=strict", *XDIST)),
    "anyio": ("@pytest.mark.anyio", ("-p", "anyio.pytest_plugin")),
    "sync": ("sync", ()),
}


def in_style(code: str, style: str) -> str:
    """Write tests that are coroutines in a style; a synchronous one runs its coroutine by itself."""
    decorator, _ = STYLES[style]
    if decorator == "sync":
        decorator = "@synchronous"
    return """
import asyncio, functools, inspect, pytest, headrace
from headrace.testing import ModelDouble

def synchronous(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))
    return run

@pytest.fixture
def anyio_backend():
    return "asyncio"

MODEL = "u/a/models/m"

async def shout(client, text="hello", model=MODEL):
    async with client:
        return (await client.model(model).predict(text, input_type="text")).text

double = ModelDouble(lambda item: item.text.upper())
""" + re.sub(r"^( *)async def test", rf"\1{decorator}\n\1async def test", code, flags=re.MULTILINE)


@pytest.mark.parametrize("style", STYLES)
def test_all_fixtures_work_in_every_style_of_test(style: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_them=in_style(
            """
@pytest.mark.headrace_tape(transport=double)
async def test_tape(tape):
    assert await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape)) == "HELLO"

async def test_double(model_double):
    assert await shout(headrace.Client(transport=model_double)) == "hello"
    model_double.function = lambda item: item.text[::-1]
    assert await shout(headrace.Client(transport=model_double)) == "olleh"

async def test_server(headrace_server):
    assert await shout(headrace_server.client(), model=headrace_server.model_url()) == "hello"
""",
            style,
        )
    )
    options = STYLES[style][1]
    run(pytester, *options, "--headrace-tape=record").assert_outcomes(passed=3)
    path = pytester.path / "tapes" / "test_them" / "test_tape.jsonl"
    assert len(Tape(path).unused) == 1
    result = run(pytester, *options, "-k", "test_tape")
    result.assert_outcomes(passed=1)


def recorded(pytester: pytest.Pytester, code: str) -> None:
    pytester.makepyfile(test_them=in_style(code, "asyncio, auto"))


AUTO = (*ASYNCIO, "-o", "asyncio_mode=auto")


def test_the_mode_is_that_of_the_command_line_then_of_the_mark_then_replay(pytester: pytest.Pytester) -> None:
    recorded(
        pytester,
        """
@pytest.mark.headrace_tape("kept/{}.jsonl".format("one"), transport=double, mode="once", strip=["x"])
async def test_marked(tape):
    await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape))

@pytest.mark.parametrize("name", ["a/b", "a_b"])
@pytest.mark.headrace_tape(transport=double)
async def test_plain(tape, name):
    await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape), name)

class TestThem:
    @pytest.mark.headrace_tape(transport=double)
    async def test_in_a_class(self, tape):
        await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape))
""",
    )
    result = run(pytester, *AUTO)
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(["there is no tape *: record it with *--headrace-tape=record*"])
    assert "raise TapeMissing" not in result.stdout.str()
    assert "During handling" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*headrace tapes*", "recorded: *one.jsonl"])
    result = run(pytester, *AUTO, "--headrace-tape=record")
    result.assert_outcomes(passed=4)
    tapes = {path.relative_to(pytester.path).as_posix() for path in pytester.path.rglob("*.jsonl")}
    assert len(tapes) == 4
    assert {"kept/one.jsonl", "tapes/test_them/test_plain[a_b].jsonl"} <= tapes
    assert "tapes/test_them/TestThem/test_in_a_class.jsonl" in tapes
    run(pytester, *AUTO, "--headrace-tape=replay").assert_outcomes(passed=4)
    bad = run(pytester, *AUTO, "--headrace-tape=sing")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR


def test_a_test_that_fails_records_nothing_and_keeps_what_was_there(pytester: pytest.Pytester) -> None:
    code = """
@pytest.mark.headrace_tape(transport=double)
async def test_it(tape):
    assert await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape)) == "HELLO"
"""
    recorded(pytester, code.replace("HELLO", "no"))
    run(pytester, *AUTO, "--headrace-tape=record").assert_outcomes(failed=1)
    assert not list(pytester.path.rglob("*.jsonl"))
    recorded(pytester, code)
    run(pytester, *AUTO, "--headrace-tape=record").assert_outcomes(passed=1)
    (path,) = pytester.path.rglob("*.jsonl")
    before = path.read_bytes()
    recorded(pytester, code.replace("HELLO", "no"))
    run(pytester, *AUTO, "--headrace-tape=record").assert_outcomes(failed=1)
    assert path.read_bytes() == before


def test_a_mismatch_is_shown_where_the_test_calls_headrace(pytester: pytest.Pytester) -> None:
    code = """
@pytest.mark.headrace_tape(transport=double)
async def test_it(tape):
    async with headrace.Client(base_url="http://127.0.0.1:1", transport=tape) as client:
        await client.model("me/my-app/models/shout").predict("one", input_type="text")  # here
"""
    recorded(pytester, code)
    run(pytester, *AUTO, "--headrace-tape=record").assert_outcomes(passed=1)
    recorded(pytester, code.replace('"one"', '"two"'))
    result = run(pytester, *AUTO)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [">*# here", "E*TapeMismatch: *", "E*recorded: 'one'*", "*test_them.py:*: TapeMismatch"]
    )
    assert "shelf.py" not in result.stdout.str()


def test_a_mismatch_that_the_code_swallows_fails_the_test_all_the_same(pytester: pytest.Pytester) -> None:
    code = """
@pytest.mark.headrace_tape(transport=double)
async def test_it(tape):
    try:
        await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape), "one")
    except AssertionError:
        pass
"""
    recorded(pytester, code)
    run(pytester, *AUTO, "--headrace-tape=record").assert_outcomes(passed=1)
    recorded(pytester, code.replace('"one"', '"two"'))
    result = run(pytester, *AUTO)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*inputs?0?.data.text.raw*", "*recorded: 'one'*", "*now:      'two'*"])


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "1")], ids=["here", "xdist"])
def test_calls_that_are_not_replayed_are_told_and_fail_where_that_is_strict(
    workers: tuple[str, ...], pytester: pytest.Pytester
) -> None:
    code = """
@pytest.mark.headrace_tape(transport=double, strict=False)
async def test_it(tape):
    for text in ["a", "b"]:
        await shout(headrace.Client(base_url="http://127.0.0.1:1", transport=tape), text)
"""
    recorded(pytester, code)
    run(pytester, *AUTO, *workers, "--headrace-tape=record").assert_outcomes(passed=1)
    recorded(pytester, code.replace('["a", "b"]', '["b"]'))
    result = run(pytester, *AUTO, *workers)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*headrace tapes*", "not replayed: *test_it.jsonl:2: PostModelOutputs, call 1"])
    recorded(pytester, code.replace('["a", "b"]', '["b"]').replace("strict=False", "strict=True"))
    result = run(pytester, *AUTO, *workers)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*1 recorded calls were not replayed: PostModelOutputs (line 2)*"])


#: A mark with faults, and what comes of a predict, a token stream and a stream.
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a rule": ("code=11009", {"predict": "AuthError", "generate": "AuthError", "stream": "AuthError"}),
    "a method": ('method="generate", code=30300', {"predict": "x", "generate": "InvalidRequest", "stream": ["x"]}),
    "a dict": (
        '{"rule": [{"method": "predict", "inputs": [1], "code": 30300}]}',
        {"predict": "InvalidRequest", "generate": "x", "stream": ["x"]},
    ),
    "gRPC": (
        'method="stream", grpc="PERMISSION_DENIED", details="not you"',
        {"predict": "x", "generate": "x", "stream": "PermissionDenied"},
    ),
    "TOML": (
        '"""\n[[rule]]\nmethod = "predict"\ncalls = 1\ncode = 11005\n"""',
        {"predict": "x", "generate": "x", "stream": ["x"]},
    ),
    "a file": ('"faults.toml"', {"predict": "NotFound", "generate": "x", "stream": ["x"]}),
}


@pytest.mark.parametrize("fixture", ["model_double", "headrace_server"])
def test_faults_strike_the_double_and_the_server_alike(fixture: str, pytester: pytest.Pytester) -> None:
    client = "headrace.Client(transport=model_double)" if fixture == "model_double" else "headrace_server.client()"
    tests = [
        f"""
@pytest.mark.headrace_faults({mark})
async def test_{number}({fixture}):
    assert await outcomes({client}) == {wanted!r}
"""
        for number, (mark, wanted) in enumerate(FAULTS.values())
    ]
    pytester.makefile(".toml", faults='[[rule]]\nmethod = "predict"\ncode = 21200\n')
    recorded(
        pytester,
        """
async def outcome(work):
    try:
        return await work
    except headrace.HeadraceError as error:
        return type(error).__name__

async def answers(stream):
    async with stream:
        return [type(p.error).__name__ if p.error is not None else p.text async for p in stream]

async def outcomes(client):
    async with client:
        model = client.model("headrace/local/models/echo")
        return {
            "predict": await outcome(text(model)),
            "generate": await outcome(model.generate("x", input_type="text").text()),
            "stream": await outcome(answers(model.stream(["x"], input_type="text"))),
        }

async def text(model):
    return (await model.predict("x", input_type="text")).text
"""
        + "".join(tests),
    )
    result = run(pytester, *AUTO)
    result.assert_outcomes(passed=len(FAULTS))


def test_servers_are_shared_but_for_those_with_faults(pytester: pytest.Pytester) -> None:
    recorded(
        pytester,
        """
seen = []

def test_one(headrace_server): seen.append(headrace_server.base_url)
def test_two(headrace_server): seen.append(headrace_server.base_url)

@pytest.mark.headrace_faults(code=11005)
def test_faulty(headrace_server): seen.append(headrace_server.base_url)

@pytest.mark.headrace_server(["mtcnn-faces", "echo"])
async def test_named(headrace_server):
    seen.append(headrace_server.base_url)
    async with headrace_server.client() as client:
        models = await client.models(user_id=headrace_server.user_id, app_id=headrace_server.app_id)
        assert {model.id for model in models} == {"mtcnn-faces", "echo"}

def test_all():
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3
""",
    )
    run(pytester, *AUTO).assert_outcomes(passed=5)


def test_mistakes_in_marks_are_told(pytester: pytest.Pytester) -> None:
    recorded(
        pytester,
        """
@pytest.mark.headrace_faults(cod=3)
def test_a(model_double): pass

@pytest.mark.headrace_faults({"connection": {"latency": 1.0}})
def test_b(model_double): pass

@pytest.mark.headrace_server("echo")
def test_c(headrace_server): pass

@pytest.mark.headrace_server(["no-such-model"])
def test_d(headrace_server): pass

@pytest.mark.headrace_tape("a", "b")
def test_e(tape): pass

@pytest.mark.headrace_faults(3)
def test_f(model_double): pass
""",
    )
    result = run(pytester, *AUTO)
    result.assert_outcomes(errors=6)
    for line in (
        "*unknown key 'cod'*",
        "*faults of connections need a network: use the fixture headrace_server*",
        "*headrace_server: models must be a list*",
        "*there is no built-in model 'no-such-model'*",
        "*headrace_tape takes at most 1 arguments without a name*",
        "*headrace_faults takes TOML, a path or a dict, not 3*",
    ):
        result.stdout.fnmatch_lines([line])


@pytest.mark.parametrize(
    "script",
    [
        {"rule": [{"method": "predict", "calls": [1, 2], "code": 11005, "delay": 0.5, "details": 'a "b"\n\\é'}]},
        {"warm_up": {"seconds": 1}, "server": {"echo_input_ids": False}},
        {"rule": [{"grpc": "UNAVAILABLE", "metadata": {"retry-after": "2"}}, {"code": 1}], "connections": []},
    ],
    ids=json.dumps,
)
def test_a_dict_is_written_as_toml_and_read_as_it_was(script: dict[str, Any]) -> None:
    written = tomllib.loads(to_toml(script))
    assert written == {name: value for name, value in script.items() if value}
    parse(to_toml(script))


def test_a_mistake_in_a_dict_names_its_place() -> None:
    with pytest.raises(FaultFileError, match="number 1: unknown key 'cod'"):
        parse(to_toml({"rule": [{"cod": 1}]}))
