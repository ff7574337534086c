"""Which certificate authorities are trusted, by every transport alike.

Without `TLS(root_certificates=)` these are, and the first that is set decides:

1. GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: the file that it names, as for any program with gRPC;
2. SSL_CERT_FILE, or else SSL_CERT_DIR: that file or folder, as for any program with OpenSSL;
3. nothing: the operating system's authorities, together with those that ship with grpcio.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from headrace.config import Pem
from headrace.errors import ConfigError


def authorities(roots: Pem | Literal["system"] | None) -> list[bytes | Path]:
    """Give the PEMs to trust, as bytes or as files that were there.

    Args:
        roots: the setting `TLS.root_certificates`.

    Raises:
        ConfigError: there is none, or the environment names a file that is not there.
    """
    if isinstance(roots, bytes):
        return [roots]
    if roots is not None and roots != "system":
        return [Path(roots)]
    named = os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
    if roots is None and named:
        return [_existing(named, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")]
    pems = _of_openssl()
    if pems is None:
        pems = _of_the_system()
        if roots is None and (shipped := shipped_authorities()) is not None:
            pems.append(shipped)
    if not pems:
        raise ConfigError("TLS: no certificate authorities were found; name a file of them in SSL_CERT_FILE")
    return pems


def stamps(sources: Iterable[bytes | Path]) -> tuple[object, ...]:
    """Give what changes when the files do: what was made of them can be used as long as it is the same."""
    return tuple(_stamp(source) for source in sources if isinstance(source, Path))


def shipped_authorities() -> Path | None:
    """Find the authorities that ship with grpcio, without importing it."""
    spec = importlib.util.find_spec("grpc")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_cython" / "_credentials" / "roots.pem"
    return path if path.is_file() else None


def _of_openssl() -> list[bytes | Path] | None:
    """Give what OpenSSL's variables name; None: neither is set."""
    if named := os.environ.get("SSL_CERT_FILE"):
        return [_existing(named, "SSL_CERT_FILE")]
    if named := os.environ.get("SSL_CERT_DIR"):
        return _files(named)
    return None


def _of_the_system() -> list[bytes | Path]:
    if sys.platform == "win32":
        return [ssl.DER_cert_to_PEM_cert(der).encode() for der, _, _ in ssl.enum_certificates("ROOT")]
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return [Path(paths.cafile)]
    return _files(paths.capath) if paths.capath else []


def _files(folder: str) -> list[bytes | Path]:
    """Give the files of a folder; a certificate has several names there, of which one is read."""
    paths = {os.path.realpath(path) for path in Path(folder).glob("*") if path.is_file()}
    return [Path(path) for path in sorted(paths)]


def _existing(name: str, variable: str) -> Path:
    if not os.path.isfile(name):
        raise ConfigError(f"TLS: {variable} names {name}, which is no file")
    return Path(name)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:  # who reads it will say so
        return None
    return status.st_mtime_ns, status.st_size
