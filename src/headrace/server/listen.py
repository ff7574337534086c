"""Where the server listens: a loopback port, a socket file that only its owner can open, or TLS."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio

from headrace.server.options import Options
from headrace.target import socket_address

_LONGEST_PATH = 107  # bytes in a socket's address on Linux; 103 on macOS


class ListenError(Exception):
    """The address cannot be used; the message is one line."""


class ListenAddress:
    """Where a server listens; another server can follow it there."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file: tuple[int, int] | None = None

    def bind(self, server: grpc.aio.Server) -> str:
        """Bind a server; gives its address as clients write it: `http://host:port`, `https://...` or `unix:path`.

        Raises:
            ListenError: the port or the socket file is in use, or cannot be made.
        """
        path = self._options.unix
        if path is None:
            address, port = _bind_port(server, self._options)
            self._options = replace(self._options, port=port)  # a later server uses the same
            return address
        ours = self._file is not None and self._file == _identity(path)
        address = _bind_socket_file(server, path, ours)
        self._file = _identity(path)
        return address

    def leave(self) -> None:
        """Remove the socket file, unless it is another server's by now.

        With it goes the empty folder that a client made for its own server, as the client may have been killed.
        """
        path = self._options.unix
        if path is None:
            return
        if self._file is not None and self._file == _identity(path):
            path.unlink(missing_ok=True)
        if self._options.watch_stdin and path.parent.name.startswith("headrace-"):
            with contextlib.suppress(OSError):  # not empty, or gone: only what a killed client has left behind goes
                path.parent.rmdir()


def _bind_port(server: grpc.aio.Server, options: Options) -> tuple[str, int]:
    host = f"[{options.host}]" if ":" in options.host and not options.host.startswith("[") else options.host
    address = f"{host}:{options.port}"
    try:
        if options.tls_cert is not None and options.tls_key is not None:
            pair = (options.tls_key.read_bytes(), options.tls_cert.read_bytes())
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port(address)
    except (RuntimeError, OSError, ValueError) as error:
        raise ListenError(f"cannot listen on {address}: {_reason(error, options)}") from error
    if not port:
        raise ListenError(f"cannot listen on {address}")
    return f"{'https' if options.tls_cert else 'http'}://{host}:{port}", port


def _reason(error: Exception, options: Options) -> str:
    if isinstance(error, OSError):
        return str(error)
    if options.port:
        with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as probe:
            try:
                probe.bind((options.host.strip("[]"), options.port))
            except OSError as reason:
                return reason.strerror or str(reason)
    return "the address or the certificate is not usable"


def _bind_socket_file(server: grpc.aio.Server, path: Path, ours: bool) -> str:
    """Bind a server to a socket file; `ours`: the one that is there belongs to a server of ours that has ended.

    gRPC removes the file that it made when it closes it, which may be after the next server has bound its own. So
    the file is made under another name and moved into place.
    """
    fresh = path.with_name(f".{secrets.token_hex(4)}")
    if len(os.fsencode(fresh)) > _LONGEST_PATH:
        fresh = path
    try:
        if not ours:
            claim(path)
        elif fresh == path:
            path.unlink(missing_ok=True)
        before = os.umask(0o177)  # only the owner can open it, from the start
        try:
            bound = server.add_insecure_port(socket_address(fresh))
        finally:
            os.umask(before)
        if not bound:
            raise ListenError(f"cannot listen on unix:{path}")
        fresh.chmod(0o600)
        fresh.replace(path)
    except (RuntimeError, OSError) as error:
        raise ListenError(f"cannot listen on unix:{path}: {error}") from error
    return f"unix:{path}"


def claim(path: Path) -> None:
    """Make the folder of a socket file, and remove the file of a server that is gone.

    Raises:
        ListenError: something else is there, or the path is too long for a socket.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ListenError(f"the socket's path is longer than {_LONGEST_PATH} bytes: {path}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ListenError(f"{path} is in use or not ours: {error.strerror or error}") from error
    raise ListenError(f"another server listens on unix:{path}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file is at `path` now; None: there is none, or its folder cannot be read any more."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
