"""Where the server is: a base URL in any of its forms, taken apart once."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from headrace.errors import ConfigError

DEFAULT_BASE = "https://api.clarifai.com"
HOSTED = "api.clarifai.com"


@dataclass(frozen=True, slots=True)
class Target:
    """A server's address.

    Attributes:
        url: the address in its full form ("https://host:443", "http://127.0.0.1:8080", "unix:/path").
        host: host name or address, "" for a socket file.
        port: TCP port, 0 for a socket file.
        path: the socket file's path, "" for TCP.
        tls: whether the connection is encrypted.
    """

    url: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = True

    @property
    def local(self) -> bool:
        """Whether it is this machine: a socket file or a loopback address."""
        return bool(self.path) or is_loopback(self.host)

    @property
    def hosted(self) -> bool:
        """Whether it is the hosted API."""
        return self.host == HOSTED

    @property
    def address(self) -> str:
        """The address as a URI: "unix:/path", percent-encoded, or "host:port"."""
        if self.path:
            return socket_address(self.path)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.url

    @classmethod
    def of_socket(cls, path: str | os.PathLike[str]) -> Target:
        """Make the address of a socket file, whatever characters its path has."""
        absolute = os.path.abspath(path)
        return cls(f"unix:{absolute}", path=absolute, tls=False)

    @classmethod
    def parse(cls, base_url: str | None) -> Target:
        """Take a base URL apart: `https://host[:port]`, `http://host:port`, `host[:port]`, `unix:/path`.

        A bare `host[:port]` means TLS, except on loopback.

        Raises:
            ConfigError: it is none of these forms.
        """
        if base_url is not None and not isinstance(base_url, str):
            raise ConfigError(f"base_url must be a str, not {base_url!r:.60}")
        text = (base_url or DEFAULT_BASE).strip()
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            path = path.removeprefix("//") if path.startswith("//") else path
            if not path or path == "/":
                raise ConfigError(
                    f"base_url {text!r}: unix: needs the path of a socket file, as in unix:/run/model.sock"
                )
            return cls.of_socket(path)
        scheme, sep, rest = text.partition("://")
        scheme = scheme.lower()
        shown = _without_secrets(text)
        if "@" in text:
            raise ConfigError("base_url holds a user or password; give the credential as pat= or token=")
        if sep and scheme not in ("http", "https"):
            raise ConfigError(f"base_url {shown!r}: the scheme must be http, https or unix")
        try:
            host, port, others = _parts(rest if sep else text)
        except ValueError:  # its text repeats what was given
            raise ConfigError(f"base_url {shown!r}: the host or the port (1 to 65535) is malformed") from None
        if port == 0:
            raise ConfigError(f"base_url {shown!r}: the port must be from 1 to 65535")
        if not host or others or " " in text or not text.isprintable():
            raise ConfigError(
                f"base_url {shown!r}: expected https://host[:port], http://host:port, host:port or unix:/path"
            )
        if not host.isascii():
            host = _in_ascii(host, shown)
        tls = scheme == "https" if sep else not is_loopback(host)
        port = port or (443 if tls else 80)
        bracketed = f"[{host}]" if ":" in host else host
        return cls(f"{'https' if tls else 'http'}://{bracketed}:{port}", host=host, port=port, tls=tls)


def socket_address(path: str | os.PathLike[str]) -> str:
    """Write the path of a socket file as the URI that gRPC takes: `unix:/path`, percent-encoded."""
    from urllib.parse import quote

    text = os.fsencode(path)
    if text.startswith(b"/"):
        text = b"/" + text.lstrip(b"/")  # two slashes would name a host
    return f"unix:{quote(text, safe='/@:')}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's loopback; names are not resolved."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if ":" in host:
        return _packed(host) == b"\0" * 15 + b"\1"
    return _packed(host)[:1] == b"\x7f"


def _parts(text: str) -> tuple[str, int | None, str]:
    """Take a URL without its scheme apart: host, port, and what else there is.

    Raises:
        ValueError: the host or the port is malformed.
    """
    host, colon, digits = text.removesuffix("/").partition(":")
    plain = host.isascii() and host.replace(".", "").replace("-", "").isalnum()
    if plain and (not colon or (len(digits) < 6 and digits.isascii() and digits.isdecimal() and int(digits) < 1 << 16)):
        return host.lower(), int(digits) if colon else None, ""

    from urllib.parse import urlsplit  # a fortieth of a start, which plain names and IPv4 addresses do not need

    parts = urlsplit(f"//{text}")
    if parts.netloc.rpartition("]")[2][:1] not in ("", ":") and "]" in parts.netloc:  # older Pythons drop it
        raise ValueError("text behind the address")
    return parts.hostname or "", parts.port, parts.path.strip("/") + parts.query + parts.fragment


def _packed(host: str) -> bytes:
    """Return the bytes of an IPv4 or IPv6 address; none if it is a name."""
    try:
        if ":" in host:
            return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])  # behind it, the zone
        return socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return b""


def _in_ascii(host: str, shown: str) -> str:
    """Write an international name as resolvers, TLS and HTTP take it: xn--..."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ConfigError(f"base_url {shown!r}: {host!r} is no name of a host") from None


def _without_secrets(text: str) -> str:
    """Leave out what may hold a credential: the part before an @, query and fragment."""
    return text.rpartition("@")[2].partition("?")[0].partition("#")[0][:200]
