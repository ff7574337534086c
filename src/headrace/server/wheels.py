"""Download a pinned wheel in parts: a partial download is kept and continued.

The package index is the one that pip is set to use. If it cannot be asked in this way, pip itself downloads.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import httpx

from headrace.server.weights_table import Wheel

PUBLIC_INDEX = "https://pypi.org/simple"
TRIES = 5  # failed attempts in a row without progress
_PAUSE = 1.0  # seconds before the next of them
_TIMEOUT = httpx.Timeout(30.0)
_REPORT_SECONDS = 0.1
_SIMPLE = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


class Unavailable(Exception):
    """The wheel cannot be downloaded this way; the downloaded part is kept."""


def fetch(wheel: Wheel, part: Path, report: Callable[[int], None]) -> None:
    """Complete the file `part`, which may hold the wheel's beginning, and check its sha256.

    Args:
        report: called with the number of bytes that are there.

    Raises:
        Unavailable: the index or the file cannot be reached, or the bytes are not the wheel's (they are removed).
    """
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, verify=_certificates()) as client:
            if _size(part) < wheel.size_bytes:
                _download(client, _url(client, wheel), part, wheel.size_bytes, report)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    with part.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == wheel.sha256:
            return
    part.unlink()
    raise Unavailable("the file has a wrong sha256; it was removed")


def _url(client: httpx.Client, wheel: Wheel) -> str:
    """Find the wheel's address in the index, by its sha256."""
    page = client.get(f"{_index().rstrip('/')}/{wheel.package}/", headers={"accept": _SIMPLE}).raise_for_status()
    if "json" in page.headers.get("content-type", ""):
        for file in page.json()["files"]:
            if file["hashes"].get("sha256") == wheel.sha256:
                return str(urljoin(str(page.url), file["url"]))
    elif link := re.search(rf'href="([^"#]+)#sha256={wheel.sha256}"', page.text):
        return str(urljoin(str(page.url), link[1].replace("&amp;", "&")))
    raise ValueError(f"the package index does not have {wheel}")


def _index() -> str:
    """Return the address of the index that pip uses.

    Raises:
        ValueError: pip is configured to use no index.
    """
    if os.environ.get("PIP_NO_INDEX", "").strip().casefold() not in ("", "0", "false", "no", "off"):
        raise ValueError("pip is set to use no index")
    if index := os.environ.get("PIP_INDEX_URL"):
        return index
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "config", "get", "global.index-url"]
    asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip() or PUBLIC_INDEX


def _certificates() -> ssl.SSLContext | bool:
    """Return the certificates that pip is set to trust."""
    path = os.environ.get("PIP_CERT")
    return ssl.create_default_context(cafile=path) if path else True


def _download(client: httpx.Client, url: str, part: Path, total: int, report: Callable[[int], None]) -> None:
    failures = 0
    while (done := _size(part)) < total:
        try:
            _continue(client, url, part, done, total, report)
        except httpx.HTTPError:
            failures = failures + 1 if _size(part) == done else 0
            if failures >= TRIES:
                raise
            report(_size(part))
            time.sleep(_PAUSE)
        else:
            if _size(part) == done:
                raise ValueError("the server gave nothing")


def _continue(client: httpx.Client, url: str, part: Path, done: int, total: int, report: Callable[[int], None]) -> None:
    headers = {"accept-encoding": "identity", **({"range": f"bytes={done}-"} if done else {})}
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        if response.status_code != 206:  # it begins again
            done = 0
        reported = 0.0
        with part.open("ab" if done else "wb", buffering=0) as file:
            part.chmod(0o600)
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > total:
                    raise ValueError("the file is larger than the wheel")
                file.write(chunk)
                if time.monotonic() - reported > _REPORT_SECONDS:
                    reported = time.monotonic()
                    report(done)
    report(done)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
