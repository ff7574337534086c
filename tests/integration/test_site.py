"""The documentation site: built strictly and offline, without dead links, and looked at in a browser."""

from __future__ import annotations

import functools
import http.server
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

import headrace
from tests.support.chromium import chromium
from tests.support.pages import ROOT
from tests.support.site import Site, build

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Response

pytestmark = pytest.mark.timeout(600)  # the build, on a busy machine

#: Hosts that pages may link to. Nothing is fetched to see whether they answer: someone looked when the host was added.
HOSTS = {
    "arrow.apache.org",
    "clarifai.com",
    "modelcontextprotocol.io",
    "developers.llamaindex.ai",
    "docs.langchain.com",
    "llm.datasette.io",
    "supervision.roboflow.com",
    "zensical.org",
}
#: Modules whose public names have a place in the reference.
MODULES = ("sources", "sinks", "frames", "testing", "web")
#: Pages that are opened, in both colour schemes and at both widths.
OPENED = ("index.html", "install.html", "performance.html", "tasks.html", "examples.html", "reference/client.html")
VIEWS = ((390, "light"), (1280, "dark"))  # colours change no width


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    pytest.importorskip("zensical", reason="needs the extra docs")
    return build(tmp_path_factory.mktemp("site"))


def pages_of(nav: Any) -> list[str]:
    """List the pages of the navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(part)]


def test_every_page_stands_once_in_the_navigation() -> None:
    nav = pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(nav) == sorted(pages), "name each page of docs/ in the nav of mkdocs.yml"


def test_pages_link_within_docs() -> None:
    """Other files have no place on the site: examples are on examples.md, the changelog on changelog.md."""
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        above = "../" * len(path.relative_to(ROOT / "docs").parts)
        assert f"]({above}" not in text, f"{path.name} links to a file outside docs/"


def test_no_link_is_dead(site: Site) -> None:
    faults = [site.fault_of(reference) for reference in site.references() if not reference.external]
    assert len(faults) > 1000  # the parser sees them
    assert [fault for fault in faults if fault] == []


def test_a_dead_link_is_seen(site: Site) -> None:
    page = site.pages["index.html"]
    page.feed('<a href="nowhere.html"></a><a href="install.html#nowhere"></a><a href="#nowhere"></a>')
    added, page.references = page.references[-3:], page.references[:-3]
    assert all(site.fault_of(reference) for reference in added)


def test_other_hosts_are_linked_to_but_never_loaded(site: Site) -> None:
    external = [reference for reference in site.references() if reference.external]
    embedded = [reference for reference in external if not reference.address.startswith(("data:", "mailto:"))]
    assert [reference for reference in embedded if reference.loaded] == []
    unknown = {urlsplit(reference.address).hostname for reference in embedded} - HOSTS
    assert not unknown, "see that these hosts answer, then add them to HOSTS"
    assert {urlsplit(reference.address).scheme for reference in embedded} == {"https"}


def test_every_public_name_has_an_anchor_in_the_reference(site: Site) -> None:
    anchors = {anchor for name, page in site.pages.items() if name.startswith("reference/") for anchor in page.ids}
    wanted = {f"headrace.{name}" for name in headrace.__all__ if not name.startswith("_")}
    for module in MODULES:
        names = set(importlib.import_module(f"headrace.{module}").__all__) - set(headrace.__all__)
        wanted |= {f"headrace.{module}.{name}" for name in names}
    assert sorted(wanted - anchors) == []


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    """The site, served."""
    handler = functools.partial(Quiet, directory=str(site.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without saying so."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def watch(page: Page, address: str) -> list[str]:
    """Collect what goes wrong on a page: messages in the console, requests that fail or go to another host."""
    faults: list[str] = []

    def answered(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"{response.url}: {response.status}")

    def asked(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            faults.append(f"{request.url}: another host")

    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"{request.url}: failed"))
    page.on("request", asked)
    page.on("response", answered)
    return faults


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_pages_are_whole_in_a_browser(browser: Browser, address: str, width: int, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
    page = context.new_page()
    faults = watch(page, address)
    for name in OPENED:
        page.goto(f"{address}/{name}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        painted = page.evaluate("getComputedStyle(document.body).getPropertyValue('color-scheme')")
        assert painted == scheme
        assert faults == [], name
    context.close()


@pytest.mark.parametrize("way", ["served", "from a folder"])
def test_the_search_finds_pages(browser: Browser, site: Site, address: str, way: str) -> None:
    start = address if way == "served" else Path(site.folder).as_uri()
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(f"{start}/index.html")
    page.get_by_role("button", name="Search").first.click()
    page.get_by_placeholder("Search").fill("backpressure")
    page.wait_for_selector("a[href*='.html']:has-text('backpressure')", timeout=60_000)
    page.close()
