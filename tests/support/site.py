"""The documentation site, built in a folder of its own, and what its pages link to and load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

from tests.support.pages import ROOT

#: Attributes that make a browser fetch something, by tag; `link` does for some values of `rel`.
_LOADS = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
_LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")


class Reference(NamedTuple):
    """What a page refers to: the page, the address as it stands there, and whether the browser fetches it by itself."""

    page: str
    address: str
    loaded: bool

    @property
    def external(self) -> bool:
        return bool(urlsplit(self.address).scheme or urlsplit(self.address).netloc)


@dataclass
class Page(HTMLParser):
    """The ids and references of one page."""

    name: str
    ids: set[str] = field(default_factory=set)
    references: list[Reference] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag in ("a", "area") and values.get("href"):
            self._add(values["href"], loaded=False)
        if tag == "link" and values.get("href"):
            self._add(values["href"], loaded=not _LOADED_LINKS.isdisjoint(values.get("rel", "").split()))
        for name in _LOADS.get(tag, ()):
            for address in values.get(name, "").split(",") if name == "srcset" else [values.get(name, "")]:
                if address.strip():
                    self._add(address.split()[0], loaded=True)
        for address in _CSS_URL.findall(values.get("style", "")):
            self._add(address, loaded=True)

    def _add(self, address: str, *, loaded: bool) -> None:
        self.references.append(Reference(self.name, address, loaded))


class Site:
    """A built site.

    Args:
        folder: the one with its index.html.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {path.relative_to(folder).as_posix(): read(path, folder) for path in folder.rglob("*.html")}
        del self.pages["404.html"]  # its addresses begin at the root of the host

    def references(self) -> list[Reference]:
        """List what all pages, stylesheets and drawings refer to."""
        styles = [
            Reference(path.relative_to(self.folder).as_posix(), address, loaded=True)
            for path in sorted(self.folder.rglob("*"))
            if path.suffix in (".css", ".svg")
            for address in _CSS_URL.findall(path.read_text(encoding="utf-8"))
        ]
        return [reference for page in self.pages.values() for reference in page.references] + styles

    def fault_of(self, reference: Reference) -> str | None:
        """Say what is wrong with a reference to a page of the site itself, if anything is."""
        address, anchor = urldefrag(reference.address)
        target = (self.folder / reference.page).parent / unquote(urlsplit(address).path) if address else None
        path = (target or self.folder / reference.page).resolve()
        if path.is_dir():
            path /= "index.html"
        if not path.is_file() or not path.is_relative_to(self.folder.resolve()):
            return f"{reference.page}: {reference.address} is not there"
        page = self.pages.get(path.relative_to(self.folder.resolve()).as_posix())
        if anchor and page and unquote(anchor) not in page.ids:
            return f"{reference.page}: {reference.address} has no such anchor"
        return None


def read(path: Path, folder: Path) -> Page:
    """Parse one page."""
    page = Page(path.relative_to(folder).as_posix())
    page.feed(path.read_text(encoding="utf-8"))
    return page


def build(folder: Path) -> Site:
    """Build the site strictly and without network, from a copy of its sources.

    Raises:
        AssertionError: with what the build says is wrong.
    """
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    for name in ("CHANGELOG.md", "examples", "src"):
        (folder / name).symlink_to(ROOT / name)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(
        command, cwd=folder, env={**os.environ, **nowhere, "NO_COLOR": "1"}, capture_output=True, text=True, check=False
    )
    said = built.stdout + built.stderr
    assert built.returncode == 0, said
    assert "griffe:" not in said, said  # a docstring that does not fit its signature
    return Site(folder / "site")
