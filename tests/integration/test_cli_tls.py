"""TLS that fails is one line on the command line, whatever gRPC notes meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.cli import CANARY, URL, Run


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """Give the address of a server whose certificate nobody knows."""
    pair = trustme.CA().issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    key.write_bytes(pair.private_key_pem.bytes())
    command = [sys.executable, "-m", "headrace.server", "--models", "echo", "--watch-stdin"]
    with subprocess.Popen(
        [*command, "--tls-cert", str(cert), "--tls-key", str(key)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield f"https://localhost:{process.stdout.readline().strip().rpartition(':')[2]}"
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def test_an_unknown_certificate_is_one_line(untrusted: str, run: Run) -> None:
    done = run(
        "predict", "--base_url", untrusted, "--timeout", "2", "--model_url", URL, "x",
        CLARIFAI_PAT=CANARY,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("headrace: ")
    assert done.stderr.count("\n") == 1
