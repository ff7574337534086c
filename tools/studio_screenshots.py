"""Take the pictures of Studio that the documents show: `python -m tools.studio_screenshots`.

Needs the development extra and Chromium. Look at them before they are committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from tests.integration.web.test_studio_page import SAMPLES
from tests.support.chromium import CHROMIUM, FLAGS
from tests.support.commands import running

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parents[1] / "docs" / "img"


def answered(page: Page, address: str, model: str, file: str = "") -> None:
    """Run a model, and wait for its answer."""
    page.goto(f"{address}/#/{model}")
    page.wait_for_selector(".runner")
    if file:
        page.set_input_files("input[type=file]", str(SAMPLES / file))
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector(".output[aria-busy=false]")
    page.wait_for_timeout(500)


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with running("studio", "--local", says="Studio at ") as place, sync_playwright() as playwright:
        address = place.rstrip("/")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for colours in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=colours)
            answered(page, address, "nanodet-g", "photos/cat.jpg")
            page.locator(".found").scroll_into_view_if_needed()
            page.screenshot(path=IMAGES / f"studio-{colours}.png")
            page.set_viewport_size({"width": 1280, "height": 1020})
            page.goto(f"{address}/#/live")
            page.wait_for_selector(".plot canvas")
            page.wait_for_timeout(6000)
            page.get_by_label("Inputs a second").fill("220")
            page.wait_for_timeout(6000)
            page.locator("select[name=overflow]").select_option("drop_oldest")
            page.wait_for_timeout(6000)
            page.get_by_label("Window").fill("40")
            page.wait_for_timeout(6000)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=IMAGES / f"studio-live-{colours}.png")
            page.close()
        page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="light")
        answered(page, address, "smollm2-135m-instruct")
        page.screenshot(path=IMAGES / "studio-narrow.png")
        browser.close()


if __name__ == "__main__":
    main()
