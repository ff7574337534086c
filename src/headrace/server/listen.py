"""Where the server listens: a loopback port, a socket file that only its owner can open, or TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio

from headrace.server.options import Options
from headrace.target import socket_address

_LONGEST_PATH = 107  # bytes in a socket's address on Linux; 103 on macOS


class ListenError(Exception):
    """The address cannot be used; the message is one line."""


@contextlib.contextmanager
def listening(server: grpc.aio.Server, options: Options) -> Iterator[str]:
    """Bind the server; gives its address as clients write it: `http://host:port`, `https://...` or `unix:path`.

    A socket file is removed at the end, unless it is another server's by then; with it the empty folder that a client
    made for its own server, as the client may have been killed.

    Raises:
        ListenError: the port or the socket file is in use, or cannot be made.
    """
    if options.unix is None:
        yield _bind_port(server, options)
        return
    address = _bind_socket_file(server, options.unix)
    ours = _identity(options.unix)
    try:
        yield address
    finally:
        if ours == _identity(options.unix):
            options.unix.unlink(missing_ok=True)
        if options.watch_stdin and options.unix.parent.name.startswith("headrace-"):
            with contextlib.suppress(OSError):  # not empty, or gone: only what a killed client has left behind goes
                options.unix.parent.rmdir()


def _bind_port(server: grpc.aio.Server, options: Options) -> str:
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
    return f"{'https' if options.tls_cert else 'http'}://{host}:{port}"


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


def _bind_socket_file(server: grpc.aio.Server, path: Path) -> str:
    try:
        claim(path)
        before = os.umask(0o177)  # from its first moment only the owner can open it
        try:
            bound = server.add_insecure_port(socket_address(path))
        finally:
            os.umask(before)
        if not bound:
            raise ListenError(f"cannot listen on unix:{path}")
        path.chmod(0o600)
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
    """Tell which file is at `path` now."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
