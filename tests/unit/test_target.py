"""Base URLs in all their forms, malformed ones, and that none of them shows a credential."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ConfigError
from headrace.target import Target, is_loopback

SECRET = "canary-0123456789"


@pytest.mark.parametrize(
    ("given_", "url", "address", "tls", "local"),
    [
        (None, "https://api.clarifai.com:443", "api.clarifai.com:443", True, False),
        ("", "https://api.clarifai.com:443", "api.clarifai.com:443", True, False),
        ("https://api.clarifai.com", "https://api.clarifai.com:443", "api.clarifai.com:443", True, False),
        ("https://api.clarifai.com/", "https://api.clarifai.com:443", "api.clarifai.com:443", True, False),
        ("HTTPS://API.Clarifai.com", "https://api.clarifai.com:443", "api.clarifai.com:443", True, False),
        ("  https://h:8443 ", "https://h:8443", "h:8443", True, False),
        ("http://h:8080", "http://h:8080", "h:8080", False, False),
        ("http://h", "http://h:80", "h:80", False, False),
        ("h:8080", "https://h:8080", "h:8080", True, False),
        ("h", "https://h:443", "h:443", True, False),
        ("localhost:8080", "http://localhost:8080", "localhost:8080", False, True),
        ("me.localhost:1", "http://me.localhost:1", "me.localhost:1", False, True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080", False, True),
        ("127.8.8.8", "http://127.8.8.8:80", "127.8.8.8:80", False, True),
        ("https://127.0.0.1:1", "https://127.0.0.1:1", "127.0.0.1:1", True, True),
        ("[::1]:8080", "http://[::1]:8080", "[::1]:8080", False, True),
        ("[::1%LO]:8080", "http://[::1%LO]:8080", "[::1%LO]:8080", False, True),
        ("[2001:DB8::1]:", "https://[2001:db8::1]:443", "[2001:db8::1]:443", True, False),
        ("http://h:", "http://h:80", "h:80", False, False),
        ("127.1", "https://127.1:443", "127.1:443", True, False),
        ("127.example.com", "https://127.example.com:443", "127.example.com:443", True, False),
        ("http://[::1]", "http://[::1]:80", "[::1]:80", False, True),
        ("https://[2001:db8::1]:9", "https://[2001:db8::1]:9", "[2001:db8::1]:9", True, False),
        ("[2001:db8::1]", "https://[2001:db8::1]:443", "[2001:db8::1]:443", True, False),
        ("192.168.1.5:80", "https://192.168.1.5:80", "192.168.1.5:80", True, False),
        ("unix:/run/m.sock", "unix:/run/m.sock", "unix:/run/m.sock", False, True),
        ("unix:///run/m.sock", "unix:/run/m.sock", "unix:/run/m.sock", False, True),
        ("unix:/run/a@b.sock", "unix:/run/a@b.sock", "unix:/run/a@b.sock", False, True),
    ],
)
def test_every_form_is_understood(given_: str | None, url: str, address: str, tls: bool, local: bool) -> None:
    target = Target.parse(given_)
    assert (target.url, target.address, target.tls, target.local) == (url, address, tls, local)
    assert str(target) == url
    assert target.hosted == ("api.clarifai.com" in url)
    assert Target.parse(url) == target  # its full form means the same


def test_a_relative_socket_path_is_made_absolute() -> None:
    assert Target.parse("unix:m.sock").path == str(Path.cwd() / "m.sock")


@pytest.mark.parametrize(
    "base",
    [
        "ftp://h",
        "grpc://h:1",
        "https://",
        "http://:80",
        ":80",
        "https://h:port",
        "https://\u200b:1",
        "https://" + "ü" * 70,
        "https://ü..h",
        "https://h:99999",
        "https://h:-1",
        "https://h:0",
        "h:0",
        "https://h/path",
        "https://h/?q=1",
        "https://h?q=1",
        "https://h\x00",
        "https://h:٨٠",
        "https://[h]",
        "https://[127.0.0.1]",
        "https://[::1]h:80",
        "https://h]:80",
        "https://\u2100",  # resolved as a/c
        "https://h#frag",
        "https://h h",
        "https://[::1",
        "2001:db8::1",
        "unix:",
        "unix:/",
        "unix://",
        "   ",
        "\n",
        "//",
    ],
)
def test_malformed_ones_are_refused(base: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        Target.parse(base)


@pytest.mark.parametrize(
    "base",
    [
        f"https://user:{SECRET}@h",
        f"https://{SECRET}@h",
        f"{SECRET}@h:1",
        f"ftp://user:{SECRET}@h",
        f"https://user:{SECRET}/x@h",
        f"https://user:{SECRET}#@h",
        f"https://user:{SECRET}@h:port",
        f"https://h/?token={SECRET}",
        f"https://h#{SECRET}",
        f"https://[{SECRET}@h",
        f"ftp://h?key={SECRET}",
    ],
)
def test_no_message_shows_a_credential(base: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(base)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_a_config_error(base: str) -> None:
    try:
        target = Target.parse(base)
    except ConfigError:
        return
    assert target.path or (target.host and 0 < target.port < 65536)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.255.0.1", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.evil.com", "127.0.0.1.evil.com", "10.0.0.1", "::2", "h", "", "0.0.0.0"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_an_international_name_is_written_as_resolvers_tls_and_http_take_it() -> None:
    target = Target.parse("https://Bücher.example:8443")
    assert target.host == "xn--bcher-kva.example"
    assert target.url == "https://xn--bcher-kva.example:8443"
    assert target.address == "xn--bcher-kva.example:8443"
