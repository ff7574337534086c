"""TLS contexts of the settings: 1.2 or newer, HTTP/2 by ALPN."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

from headrace.config import TLS, Pem
from headrace.errors import ConfigError
from headrace.transport.authorities import authorities, stamps

#: Suites that HTTP/2 does not forbid (RFC 9113 section 9.2.2), for TLS 1.2.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def make_context(tls: TLS) -> ssl.SSLContext:
    """Make the context, or give one that was made of the same files; reads files.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    sources = tuple(authorities(tls.root_certificates))
    if tls.certificate is None or tls.key is None:
        return _shared(sources, stamps(sources))
    context = _trusting(sources)
    with _readable("certificate and key"), contextlib.ExitStack() as stack:
        context.load_cert_chain(_file(tls.certificate, stack), _file(tls.key, stack))
    return context


@functools.lru_cache(maxsize=8)
def _shared(sources: tuple[bytes | Path, ...], _: tuple[object, ...]) -> ssl.SSLContext:
    """Give one context to many connections: reading the system's authorities takes 50 ms. It holds no secret."""
    return _trusting(sources)


def _trusting(sources: Iterable[bytes | Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.set_ciphers(_CIPHERS)
    for source in sources:
        if isinstance(source, bytes):
            with _readable("root_certificates"):
                context.load_verify_locations(cadata=source.decode("ascii", "ignore"))
        else:
            with _readable(f"root_certificates from {source}"):
                context.load_verify_locations(cafile=source)
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
    import tempfile  # costs as much as the rest of the module

    folder = stack.enter_context(tempfile.TemporaryDirectory())  # for the user alone, and gone at once
    path = Path(folder) / "pem"
    path.write_bytes(pem)
    return str(path)
