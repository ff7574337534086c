"""Which authorities are trusted: one rule, over every transport that has TLS."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from headrace import TLS, Client, RetryPolicy, errors
from headrace.testing import ModelDouble
from headrace.transport import authorities as module
from headrace.transport.h2.tls import make_context
from tests.support.bridge import GrpcServer
from tests.support.rig import MODEL, SOCKET_WIRES

pytestmark = pytest.mark.core

VARIABLES = ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
ALONE = RetryPolicy(attempts=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def address(authority: trustme.CA) -> AsyncIterator[str]:
    own = authority.issue_cert("localhost")
    pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    double = ModelDouble(lambda item: item.text)
    async with GrpcServer(double, "localhost:0", credentials=grpc.ssl_server_credentials([pair])) as server:
        yield server.address


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have `ours` trust the server, and `theirs` another one; nothing is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, made in (("ours", authority), ("theirs", trustme.CA())):
        (tmp_path / name).mkdir()
        made.cert_pem.write_to_path(str(tmp_path / name / "ca.pem"))
    return tmp_path


OURS, THEIRS = "ours/ca.pem", "theirs/ca.pem"


@pytest.mark.parametrize("transport", SOCKET_WIRES)
@pytest.mark.parametrize(
    ("roots", "variables", "trusted"),
    [
        (None, {}, False),
        (None, {"SSL_CERT_FILE": OURS}, True),
        (None, {"SSL_CERT_FILE": THEIRS}, False),
        (None, {"SSL_CERT_DIR": "ours"}, True),
        (None, {"SSL_CERT_DIR": "theirs"}, False),
        (None, {"SSL_CERT_FILE": THEIRS, "SSL_CERT_DIR": "ours"}, False),
        (None, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": OURS}, True),
        (None, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": OURS, "SSL_CERT_FILE": THEIRS}, True),
        (None, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": THEIRS, "SSL_CERT_FILE": OURS}, False),
        ("system", {}, False),
        ("system", {"SSL_CERT_FILE": OURS}, True),
        ("system", {"SSL_CERT_DIR": "ours"}, True),
        ("system", {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": OURS}, False),
        (OURS, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": THEIRS, "SSL_CERT_FILE": THEIRS}, True),
        (THEIRS, {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": OURS, "SSL_CERT_FILE": OURS}, False),
    ],
)
async def test_whose_server_is_trusted(
    transport: Any,
    roots: Any,
    variables: dict[str, str],
    trusted: bool,
    folder: Path,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(folder / value))
    tls = TLS(roots if roots in (None, "system") else folder / roots)
    async with Client(base_url=address, tls=tls, transport=transport, retry=ALONE) as client:
        call = client.model(**MODEL).predict_by_bytes("text", "text")
        if trusted:
            assert (await call).text == "text"
        else:
            with pytest.raises(errors.ConnectFailed, match="not trusted"):
                await call


@pytest.mark.parametrize("transport", SOCKET_WIRES)
@pytest.mark.parametrize(
    ("variable", "what", "said"),
    [
        ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "gone", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names .*gone, which is no file"),
        ("SSL_CERT_FILE", "gone", "SSL_CERT_FILE names .*gone, which is no file"),
        ("SSL_CERT_FILE", "text", "text"),
        ("SSL_CERT_DIR", "empty", "no certificate authorities were found"),
    ],
)
async def test_a_variable_that_names_no_authorities_is_an_error(
    transport: Any, variable: str, what: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    (folder / "text").write_text("CANARY")
    monkeypatch.setenv(variable, str(folder / what))
    async with Client(base_url="https://localhost:1", transport=transport, retry=ALONE) as client:
        with pytest.raises(errors.ConfigError, match=said) as caught:
            await client.model(**MODEL).predict_by_bytes("text", "text")
    assert "CANARY" not in str(caught.value)


def test_by_itself_the_systems_authorities_and_those_of_grpc_are_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = ssl.get_default_verify_paths()
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths._replace(cafile=str(folder / OURS)))
    shipped = module.shipped_authorities()
    assert shipped is not None
    assert module.authorities(None) == [folder / OURS, shipped]
    assert module.authorities("system") == [folder / OURS]
    monkeypatch.setattr(module, "shipped_authorities", lambda: None)  # grpcio is not installed
    assert module.authorities(None) == [folder / OURS]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths._replace(cafile="", capath=str(folder)))
    with pytest.raises(errors.ConfigError, match="SSL_CERT_FILE"):
        module.authorities(None)


def test_a_certificate_that_has_several_names_in_a_folder_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ours" / "0123abcd.0").symlink_to("ca.pem")
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "ours"))
    assert module.authorities("system") == [folder / OURS]


def test_contexts_are_shared_until_a_file_changes(folder: Path, authority: trustme.CA) -> None:
    tls = TLS(folder / OURS)
    context = make_context(tls)
    assert make_context(tls) is context
    assert make_context(TLS(folder / THEIRS)) is not context
    status = (folder / OURS).stat()
    os.utime(folder / OURS, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert make_context(tls) is not context
    mine = authority.issue_cert("me")
    ours = TLS(folder / OURS, mine.cert_chain_pems[0].bytes(), mine.private_key_pem.bytes())
    assert make_context(ours) is not make_context(ours)  # keys are not kept
