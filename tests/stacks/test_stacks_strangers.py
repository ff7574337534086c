"""Real servers that are not what was expected: a typed error tells what was seen and what to do."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from headrace import Client, errors
from tests.interop.conftest import absent
from tests.interop.install import Missing
from tests.stacks import install
from tests.stacks.conftest import TRANSPORTS
from tests.stacks.running import SERVERS, free_port, running
from tests.support.rig import MODEL

NOT_GRPC = "speaks (HTTP/1.1|no HTTP/2) there: this is not a gRPC port; check base_url="
SPEAKS_TLS = "speaks TLS: write https:// in base_url="
NO_TLS = "speaks no TLS there: write http:// in base_url="
NO_H2 = r"offers no HTTP/2 \(ALPN h2\), which gRPC needs: check the port, or the proxy before it"
CERTIFICATE = r"give it as TLS\(certificate=, key=\)"
UNTRUSTED = "not trusted .*: give the authority that signed it as root_certificates_path="
OTHER_NAME = r"for another name .*: check base_url= or TLS\(server_name=\)"


class Place:
    """Where a test's servers are: a folder with certificates of an authority of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes()
        for name, host in (("here", "127.0.0.1"), ("other", "other.example")):
            mine = authority.issue_cert(host)
            mine.private_key_pem.write_to_path(str(folder / f"{name}.key"))
            mine.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))

    def nginx(self, listen: str, lines: str = "", certificate: str = "here") -> tuple[list[str | Path], int]:
        """Make the command of a web server."""
        port = free_port()
        tls = f"ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key;" if "ssl" in listen else ""
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {self.folder}/pid; events {{ worker_connections 64; }}
            http {{ access_log off; server {{ listen 127.0.0.1:{port} {listen}; {tls} {lines}
                location / {{ return 200 "hello"; }} }} }}
        """)
        command: list[str | Path] = [install.program("nginx"), "-p", self.folder, "-e", self.folder / "log"]
        return [*command, "-c", self.folder / "nginx.conf"], port

    def openssl(self, *options: str, certificate: str = "here") -> tuple[list[str | Path], int]:
        """Make the command of OpenSSL's test server."""
        port = free_port()
        files = [f"-cert={self.folder}/{certificate}.pem", f"-key={self.folder}/{certificate}.key"]
        parts = [part for file in files for part in file.split("=", 1)]
        return [install.program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", *parts, *options], port


def web(place: Place) -> tuple[list[str | Path], int]:
    port = free_port()
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", place.folder, str(port)], port


def grpc_server(place: Place) -> tuple[list[str | Path], int]:
    port = free_port()
    return [sys.executable, SERVERS / "aio.py", str(port)], port


Command = Callable[[Place], tuple[list[str | Path], int]]
STRANGERS: dict[str, tuple[Command, str, str]] = {
    "http.server": (web, "http", NOT_GRPC),
    "http.server, asked by TLS": (web, "https", NO_TLS),
    "gRPC without TLS, asked by TLS": (grpc_server, "https", NO_TLS),
    "openssl, asked without TLS": (lambda place: place.openssl("-www"), "http", SPEAKS_TLS),
    "openssl without ALPN": (lambda place: place.openssl("-www"), "https", NO_H2),
    "openssl that wants a certificate": (
        lambda place: place.openssl("-Verify", "1", "-verify_return_error", "-alpn", "h2"),
        "https",
        CERTIFICATE,
    ),
    "openssl with another name": (lambda place: place.openssl("-www", certificate="other"), "https", OTHER_NAME),
    "openssl of an unknown authority": (lambda place: place.openssl("-www"), "https unknown", UNTRUSTED),
    "nginx with HTTP/1.1": (lambda place: place.nginx(""), "http", NOT_GRPC),
    "nginx with TLS, asked without": (lambda place: place.nginx("ssl http2"), "http", f"{SPEAKS_TLS}|{NOT_GRPC}"),
    "nginx with TLS and HTTP/1.1": (lambda place: place.nginx("ssl"), "https", NO_H2),
    "nginx without TLS, asked by TLS": (lambda place: place.nginx("http2"), "https", NO_TLS),
    "nginx with a page": (lambda place: place.nginx("http2"), "http", "not a gRPC server|does not report"),
    "nginx with TLS and a page": (lambda place: place.nginx("ssl http2"), "https", "not a gRPC server|does not report"),
}


@contextlib.contextmanager
def started(command: Command, place: Place) -> Iterator[int]:
    """Start a server, or skip; gives its port."""
    try:
        arguments, port = command(place)
    except Missing as reason:
        absent("stacks", str(reason))
    with running(arguments, port, log=place.folder / "output"):
        yield port


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", STRANGERS)
async def test_a_server_that_is_not_what_was_expected(name: str, transport: Any, tmp_path: Path) -> None:
    command, how, said = STRANGERS[name]
    place = Place(tmp_path)
    roots = None if how.endswith("unknown") else place.ca
    with started(command, place) as port:
        url = f"{how.split()[0]}://127.0.0.1:{port}"
        options: dict[str, Any] = {"root_certificates": roots} if url.startswith("https") else {}
        async with Client(base_url=url, transport=transport, **options) as client:
            start = time.monotonic()
            with pytest.raises((errors.ConnectFailed, errors.ConnectionLost), match=said) as caught:
                await client.model(**MODEL).predict_by_bytes("a secret", "text")
            assert time.monotonic() - start < 10
            assert f"127.0.0.1:{port}" in str(caught.value)
            assert "a secret" not in str(caught.value)


PROXIES: dict[str, tuple[Command, str]] = {
    "http.server": (web, "501"),
    "nginx": (lambda place: place.nginx(""), "405|400"),
}


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_makes_no_tunnels(
    name: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it leaves this machine: the proxy is asked, and refuses."""
    command, said = PROXIES[name]
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with started(command, Place(tmp_path)) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        async with Client(base_url=f"{scheme}://model.example:1234", transport="h2") as client:
            with pytest.raises(errors.ConnectFailed, match="refused the tunnel") as caught:
                await client.model(**MODEL).predict_by_bytes("text", "text")
        assert any(code in str(caught.value) for code in said.split("|")), caught.value
        assert f"127.0.0.1:{port}" in str(caught.value)
