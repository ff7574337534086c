"""What answers where an HTTP/2 server was expected, and what to do about it."""

from __future__ import annotations

import asyncio
import re
import ssl

from headrace.config import TLS, Target

_SPEAKS_TLS = "the server speaks TLS: write https:// in base_url="
_NO_H2 = "the server's TLS offers no HTTP/2 (ALPN h2), which gRPC needs: check the port, or the proxy before it"
#: What to do about a server that says nothing of what it speaks.
CHECK_PORT = "is it a gRPC port? check base_url="
_SHOWN = 200
#: What no HTTP/2 server says first: its SETTINGS would be longer than half a megabyte.
_TEXT = rb"[\t\n\r -~]{3,}"
_LOOK = 2.0  # seconds for a second look


class Misfit(ConnectionError):
    """The server is not what was expected, so trying again cannot help."""


class EarlyEnd(ConnectionError):
    """The server closed the connection before it said anything."""


def printable(text: str) -> str:
    """Escape the control characters of a server's text but line ends and tabs: it may be shown on a terminal."""
    if text.isprintable():
        return text
    escaped = "".join(c if c.isprintable() or c in "\t\n\r" else c.encode("unicode_escape").decode() for c in text)
    return re.sub(r"\r(?!\n)", r"\\r", escaped)  # alone it would let a line be written over


async def explain_early_end(error: EarlyEnd, target: Target, tls: TLS, seconds: float) -> ConnectionError:
    """Find out what a server wants that said nothing: one short connection more, where it may want TLS."""
    if target.tls:
        advice = "if it wants a client certificate, give it as TLS(certificate=, key=)"
        return error if tls.certificate is not None else EarlyEnd(f"{error}; {advice}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(min(_LOOK, seconds)):
            _, writer = await asyncio.open_connection(target.host, target.port, ssl=context, server_hostname="")
    except OSError:  # a TimeoutError and an SSLError are one
        return error
    writer.transport.abort()
    return Misfit(_SPEAKS_TLS)


def recognize(first: bytes) -> Misfit | None:
    """Tell from the first bytes of a server what it speaks; None where they do not say."""
    shown = re.sub(r"[^ -~]+", " ", first[:_SHOWN].decode("latin-1")).strip()
    if first[:5] == b"HTTP/":
        return Misfit(f"the server speaks HTTP/1.1 there: this is not a gRPC port; check base_url= (it said: {shown})")
    if len(first) >= 3 and first[0] in (0x15, 0x16) and first[1] == 0x03:
        return Misfit(_SPEAKS_TLS)
    if re.fullmatch(_TEXT, first[:9]):
        return Misfit(f"the server speaks no HTTP/2 there: this is not a gRPC port; check base_url= (it said: {shown})")
    return None


def check_alpn(transport: asyncio.BaseTransport) -> Misfit | None:
    """Return whether a TLS connection did not agree to speak HTTP/2."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None or secured.selected_alpn_protocol() == "h2":
        return None
    return Misfit(_NO_H2)


def explain_tls(error: ssl.SSLError) -> Misfit | None:
    """Return what a failed handshake means; None where it is not known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        if "mismatch" in reason.lower() or error.verify_code == 62:
            return Misfit(
                f"the server's certificate is for another name ({reason}): check base_url= or TLS(server_name=)"
            )
        return Misfit(
            f"the server's certificate is not trusted ({reason}): give the authority that signed it as "
            "root_certificates_path="
        )
    alert = str(error).upper().replace(" ", "_")  # OpenSSL names some alerts, and writes others out
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return Misfit("the server speaks no TLS there: write http:// in base_url=, or check the port")
    if "NO_APPLICATION_PROTOCOL" in alert:
        return Misfit(_NO_H2)
    if "CERTIFICATE_REQUIRED" in alert:
        return Misfit("the server wants a client certificate: give it as TLS(certificate=, key=)")
    return None
