"""TLS contexts of the settings: 1.2 or newer, HTTP/2 by ALPN."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace.config import TLS, Pem
from headrace.errors import ConfigError

#: Suites that HTTP/2 does not forbid (RFC 9113 section 9.2.2), for TLS 1.2.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def make_context(tls: TLS) -> ssl.SSLContext:
    """Make the context; reads files.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.set_ciphers(_CIPHERS)
    roots = tls.root_certificates
    with _readable("root_certificates"):
        if isinstance(roots, bytes):
            context.load_verify_locations(cadata=roots.decode("ascii", "ignore"))
        elif roots is not None and roots != "system":
            context.load_verify_locations(cafile=os.fspath(roots))
        else:
            context.load_default_certs()
            if roots is None and (shipped := _shipped_roots()) is not None:
                context.load_verify_locations(cafile=shipped)
    if tls.certificate is not None and tls.key is not None:
        with _readable("certificate and key"), contextlib.ExitStack() as stack:
            context.load_cert_chain(_file(tls.certificate, stack), _file(tls.key, stack))
    return context


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(f"TLS: cannot read {name}: {error}") from error


def _file(pem: Pem, stack: contextlib.ExitStack) -> str:
    """Give a path of a PEM: Python's `ssl` takes certificates with their keys from files alone."""
    if not isinstance(pem, bytes):
        return os.fspath(pem)
    folder = stack.enter_context(tempfile.TemporaryDirectory())  # for the user alone, and gone at once
    path = Path(folder) / "pem"
    path.write_bytes(pem)
    return str(path)


def _shipped_roots() -> str | None:
    """Find the authorities that ship with gRPC, without importing it."""
    spec = importlib.util.find_spec("grpc")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_cython" / "_credentials" / "roots.pem"
    return str(path) if path.is_file() else None
