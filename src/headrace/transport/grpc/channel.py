"""Making a channel of gRPC: its settings, its credentials.

- Equal channels share connections unless each has a subchannel pool of its own.
- `keepalive_timeout_ms` alone closes nothing: a ping without an answer is given up after `ping_timeout_ms`.
- gRPC's own retries are off: a second retry layer multiplies the first.
- `min_reconnect_backoff_ms` is how long one connection attempt may take, not a pause; the pauses are the other two.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from headrace._version import __version__
from headrace.config import Pem, Target, Transmission
from headrace.errors import ConfigError
from headrace.transport.authorities import authorities


def make_channel(target: Target, options: Transmission) -> aio.Channel:
    """Make an unconnected channel."""
    settings = channel_options(target, options)
    if target.tls:
        return aio.secure_channel(target.address, _credentials(options), settings)
    return aio.insecure_channel(target.address, settings)


def channel_options(target: Target, options: Transmission) -> list[tuple[str, Any]]:
    """Return the channel's settings."""
    connect_ms = _milliseconds(options.connect_timeout) + 100  # ours is over first, and has the better text
    settings: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"headrace-python/{__version__}"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", connect_ms),
        ("grpc.max_reconnect_backoff_ms", 250),
        ("grpc.max_receive_message_length", options.message_bytes),
        ("grpc.max_send_message_length", -1),
    ]
    if options.keepalive.interval is not None:
        settings += [
            ("grpc.keepalive_time_ms", _milliseconds(options.keepalive.interval)),
            ("grpc.keepalive_timeout_ms", _milliseconds(options.keepalive.timeout)),
            ("grpc.http2.ping_timeout_ms", _milliseconds(options.keepalive.timeout)),
        ]
    if target.local:
        settings.append(("grpc.enable_http_proxy", 0))
    if target.path:
        settings.append(("grpc.default_authority", "localhost"))
    if options.tls.server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls.server_name))
    return settings


def read_roots(options: Transmission) -> bytes:
    """Read the certificates of the authorities to trust.

    Raises:
        ConfigError: one cannot be read.
    """
    sources = authorities(options.tls.root_certificates)
    return b"\n".join(read_pem(source, "root_certificates") or b"" for source in sources)


def read_pem(pem: Pem | None, name: str) -> bytes | None:
    """Read a PEM block given as bytes or as a path.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    if pem is None or isinstance(pem, bytes):
        return pem
    try:
        content = Path(pem).read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS: cannot read {name} from {os.fspath(pem)}: {error.strerror}") from error
    if b"-----BEGIN" not in content:
        raise ConfigError(f"TLS: {os.fspath(pem)} holds no PEM block")
    return content


def _milliseconds(seconds: float) -> int:
    return max(1, int(min(seconds, 1e6) * 1000))  # settings are 32-bit numbers


def _credentials(options: Transmission) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=read_roots(options),
        private_key=read_pem(options.tls.key, "key"),
        certificate_chain=read_pem(options.tls.certificate, "certificate"),
    )
