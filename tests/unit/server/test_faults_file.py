"""Reading fault scripts: what is understood, and how a mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.server.fault_file import FaultFileError, Rule, Script, ServerSettings, Throttle, WarmUp, parse, read
from headrace.testing import ConnectionFaults

WHOLE = """
[server]
max_connection_age_ms = 2000
max_concurrent_streams = 4
echo_input_ids = false

[warm_up]
seconds = 5

[throttle]
requests_per_second = 15
burst = 3

[connection]
latency = 0.05
direction = "to_server"

[[connections]]
reset_at_message = 3

[[rule]]
method = "predict"
model = "echo"
calls = [1, 3]
code = 21351
time_remaining = 2
metadata = { retry-after = "1" }

[[rule]]
method = "stream"
inputs = 5
delay = 1
"""


def test_a_whole_script_is_understood() -> None:
    script = parse(WHOLE)
    assert script.server == ServerSettings(max_connection_age_ms=2000, max_concurrent_streams=4, echo_input_ids=False)
    assert script.server.channel_options() == [
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.max_concurrent_streams", 4),
    ]
    assert script.warm_up == WarmUp(seconds=5.0, code=21351)
    assert script.throttle == Throttle(requests_per_second=15.0, burst=3)
    assert script.connection == ConnectionFaults(latency=0.05, direction="to_server")
    assert script.connections == (ConnectionFaults(reset_at_message=3),)
    first, second = script.rules
    assert first == Rule(
        method="predict", model="echo", calls=(1, 3), code=21351, time_remaining=2, metadata={"retry-after": "1"}
    )
    assert (second.inputs, second.delay) == ((5,), 1.0)


def test_an_empty_script_has_no_faults() -> None:
    assert parse("") == Script()


MISTAKES = {
    "x = ": "not TOML",
    "[[rules]]\ncode = 1": "unknown key 'rules' (known: connection, connections, rule",
    "[rule]\ncode = 1": "rule must be an array of tables: [[rule]]",
    "rule = 3": "rule must be an array",
    "server = 3": "[server] must be a table",
    "[[rule]]\ndealy = 1": "[[rule]] number 1: unknown key 'dealy'",
    "[[rule]]\ncode = 1\n[[rule]]": "[[rule]] number 2: needs one of delay, code, grpc and stall",
    "[[rule]]\ncode = 'x'": "[[rule]] number 1: code must be a whole number, not 'x'",
    "[[rule]]\ncode = true": "code must be a whole number, not True",
    "[[rule]]\ndelay = -1": "delay must not be negative",
    "[[rule]]\ndelay = inf": "delay must be finite",
    "[[rule]]\ncode = 1\ngrpc = 'UNAVAILABLE'": "code and grpc exclude each other",
    "[[rule]]\ngrpc = 'OOPS'": "grpc must be one of CANCELLED",
    "[[rule]]\ngrpc = 'OK'": "grpc must be one of",
    "[[rule]]\nstall = 'write'": 'stall must be "answer" or "read"',
    "[[rule]]\nstall = 'read'": 'needs method = "stream"',
    "[[rule]]\nmethod = 'stream'\nmodel = 'm'\nstall = 'read'": "concerns a call as a whole",
    "[[rule]]\nmethod = 'upload'\ncode = 1": "method must be one of predict, generate, stream, GetModel",
    "[[rule]]\nmethod = 'GetModel'\ninputs = 1\ncode = 1": "GetModel has no inputs",
    "[[rule]]\ncalls = 0\ncode = 1": "counted from 1",
    "[[rule]]\ncalls = ['a']\ncode = 1": "calls must be a whole number, not 'a'",
    "[[rule]]\ncode = 1\nafter_answers = 2": 'after_answers needs method = "generate" or "stream"',
    "[[rule]]\ncode = 1\nmetadata = { a = 1 }": "metadata must be a table of strings",
    "[warm_up]": "[warm_up]: seconds is missing",
    "[throttle]\nrequests_per_second = 0": "[throttle]: requests_per_second must be positive",
    "[server]\nmax_connection_age_ms = 1.5": "max_connection_age_ms must be a whole number",
    "[server]\necho_input_ids = 1": "echo_input_ids must be true or false",
    "[connection]\nlatency = 'slow'": "[connection]: latency must be a number",
    "[[connections]]\nbandwidth = -5": "[[connections]] number 1: ConnectionFaults: bandwidth must be",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_reported_with_its_place_in_one_line(text: str) -> None:
    with pytest.raises(FaultFileError) as caught:
        parse(text)
    assert MISTAKES[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_examples_of_the_documentation_are_understood() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "faults.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        assert parse(example) != Script()


def test_a_files_mistakes_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[[rule]]")
    with pytest.raises(FaultFileError, match=r"f\.toml: \[\[rule\]\] number 1"):
        read(file)
    with pytest.raises(FaultFileError, match="cannot be read"):
        read(tmp_path / "missing.toml")
