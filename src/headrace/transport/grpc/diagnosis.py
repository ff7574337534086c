"""Why a connection cannot be made: a second look with Python's own TLS, for when gRPC's text does not say.

One short connection more, only after connecting has failed, and at most once until it succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from typing import TYPE_CHECKING

from headrace.errors import ConfigError
from headrace.transport.grpc.channel import read_pem, read_roots

if TYPE_CHECKING:
    from headrace.config import Target, Transmission

LOOK = 2.0  # seconds that the second look may take

_NOBODY = re.compile(r"refused|resolv|unreachable|no such file|timed? ?out|permission denied", re.IGNORECASE)
_NO_H2 = "the server's TLS offers no HTTP/2 (ALPN h2), which gRPC needs: check the port, or the proxy before it"
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


async def explain(target: Target, options: Transmission, details: str, seconds: float) -> str:
    """Return a sentence with what the server is and what to do; "" if that is not known.

    Args:
        details: gRPC's text.
        seconds: the remaining time.
    """
    if "http1.x server" in details.lower():
        return "the server speaks HTTP/1.1 there: this is not a gRPC port; check base_url="
    if "expected settings frame as the first frame" in details.lower():
        return "the server speaks no HTTP/2 there: this is not a gRPC port; check base_url="
    proxied = not target.local and any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)
    if target.path or proxied or (not target.tls and _NOBODY.search(details)) or "resolv" in details.lower():
        return ""
    try:
        async with asyncio.timeout(max(0.0, min(LOOK, seconds))):
            return await (_look_encrypted(target, options) if target.tls else _look_plain(target))
    except (OSError, ConfigError):  # includes TimeoutError: no answer, so nothing is known
        return ""


async def _look_plain(target: Target) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError):
        await _handshake(target, context, target.host)
        return "the server speaks TLS: write https:// in base_url="
    return ""


async def _look_encrypted(target: Target, options: Transmission) -> str:
    # Comments may hold other characters than ASCII, which `ssl` refuses.
    context = ssl.create_default_context(cadata=read_roots(options).decode("ascii", "ignore"))
    context.set_alpn_protocols(["h2"])
    if options.tls.certificate is not None and isinstance(options.tls.certificate, str | os.PathLike):
        key = options.tls.key
        if isinstance(key, str | os.PathLike) and read_pem(key, "key"):
            context.load_cert_chain(options.tls.certificate, key)
    try:
        protocol = await _handshake(target, context, options.tls.server_name or target.host)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        if "mismatch" in reason.lower() or error.verify_code == 62:
            return f"the server's certificate is for another name ({reason}): check base_url= or TLS(server_name=)"
        return (
            f"the server's certificate is not trusted ({reason}): give the authority that signed it as "
            "root_certificates_path="
        )
    except ssl.SSLError as error:
        alert = str(error).upper().replace(" ", "_")  # OpenSSL names some alerts, and writes others out
        if error.reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"):
            return "the server speaks no TLS there: write http:// in base_url=, or check the port"
        if "NO_APPLICATION_PROTOCOL" in alert:
            return _NO_H2
        if "CERTIFICATE_REQUIRED" in alert:
            return "the server wants a client certificate: give it as TLS(certificate=, key=)"
        return ""
    if protocol != "h2":
        return _NO_H2
    return ""


async def _handshake(target: Target, context: ssl.SSLContext, name: str) -> str | None:
    """Connect, give the protocol that both agreed on, and leave."""
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context, server_hostname=name)
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() == "h2":
            await reader.read(1)  # if our certificate is missing, TLS 1.3 says so only now
        return tls.selected_alpn_protocol()
    finally:
        writer.transport.abort()
