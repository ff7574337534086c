"""The server's command line: wrong usage is one line and exit code 2."""

from __future__ import annotations

import pytest

from headrace.server import options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "many"], "argument --port: invalid int value: 'many'"),
        (["--port", "1", "--unix", "x"], "--port and --unix exclude each other"),
        (["--prot"], "unrecognized arguments: --prot"),
        (["--pro\nt"], "unrecognized arguments: --pro t"),
        (["--host", "0.0.0.0", "--tls-cert", "a"], "--tls-cert and --tls-key belong together"),
        (["--max-calls", "0"], "--max-calls must be at least 1"),
        (["--max-request-mb", "0"], "--max-request-mb must be at least 1"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"headrace serve: error: {message} (see --help)\n")
