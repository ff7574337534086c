"""Studio's page in a real browser: every task once, the camera, the live view, keys, and who cannot see it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from tests.interop import install
from tests.interop.conftest import needed
from tests.support.chromium import chromium
from tests.support.commands import running
from tests.support.weights import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.timeout(300), pytest.mark.models]

SAMPLES = Path(headrace.__file__).parent / "data" / "samples"
PAGE = Path(__file__).parents[3] / "studio"
PAINTED = """() => {
    const canvas = document.querySelector(".found canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value);
}"""
SEEN_OR_HEARD = """(place) => {
    const made = document.querySelector(place);
    return made.naturalWidth > 0 || made.duration > 0;
}"""
ANSWER_MS = 60_000  # a model that is loaded on a busy machine


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Studio in front of the embedded models."""
    with running("studio", "--local", says="Studio at ") as place:
        yield place.rstrip("/")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, whose console must stay empty."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=["camera", "microphone"])
    made = context.new_page()
    made.set_default_timeout(ANSWER_MS)
    said: list[str] = []
    made.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: said.append(str(error)))
    made.goto(f"{address}/")
    made.wait_for_selector(".card")
    yield made
    context.close()
    assert [text for text in said if "willReadFrequently" not in text] == []  # it is the tests that read pixels


def choose(page: Page, model: str) -> None:
    page.locator(f'a.card[href="#/{model}"]').click()
    page.wait_for_selector(f".task code:text-is('{model}')")


def run(page: Page, *, file: str = "", text: str = "") -> None:
    """Give the chosen model an input, and wait for the whole answer."""
    if text:
        page.get_by_label(re.compile("^Text")).fill(text)
    if file:
        page.set_input_files("input[type=file]", str(SAMPLES / file))
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector(".output[aria-busy=false]")


TASKS: dict[str, tuple[dict[str, str], str, str]] = {  # model -> input, where the answer is, what it is like
    "smollm2-135m-instruct": ({"text": "What colour is grass? One word."}, ".said", "[a-z]{3}"),
    "llm-classify": ({"text": "I loved this film. Classes: positive, negative"}, ".output", "positive|negative"),
    "facts-to-answer": ({"file": "photos/cat.jpg", "text": "What is it?"}, ".said", "cat"),
    "efficientnet-lite0": ({"file": "photos/cat.jpg"}, ".concepts", "tiger cat"),
    "nanodet-g": ({"file": "photos/cat.jpg"}, ".found figcaption", "[1-9].* found"),
    "mtcnn-faces": ({"file": "photos/astronaut.jpg"}, ".found figcaption", "[1-9].* found"),
    "u2netp": ({"file": "photos/cat.jpg"}, ".found figcaption", "[1-9].* found"),
    "selfie-segmentation": ({"file": "photos/astronaut.jpg"}, ".found figcaption", "[1-9].* found"),
    "pp-ocrv6": ({"file": "pages/receipt.png"}, ".output", "[a-z]"),
    "facts-to-caption": ({"file": "photos/cat.jpg"}, ".said", "cat"),
    "acnet-upscaler": ({"file": "photos/clock.jpg"}, "img.made", ""),
    "shapes-to-image": ({"text": "a red circle"}, "img.made", ""),
    "hibari-tts": ({"text": "Hello there."}, "audio", ""),
    "whisper-tiny-en": ({"file": "sounds/sense-and-sensibility.wav"}, ".said", "[a-z]{3}"),
    "vader-sentiment": ({"text": "What a lovely day!"}, ".concepts", "positive"),
    "language-lid176": ({"text": "Guten Morgen!"}, ".concepts", "de"),
    "minilm-l6-v2": ({"text": "a river"}, ".output", "384 numbers"),
    "efficientnet-lite0-embedding": ({"file": "photos/cat.jpg"}, ".output", "1280 numbers"),
    "echo": ({"text": "hello"}, ".said", "hello"),
}
WEIGHTS = {
    "smollm2-135m-instruct": ("smollm2-135m-instruct",),
    "llm-classify": ("smollm2-135m-instruct",),
    "mtcnn-faces": ("mtcnn",),
    "facts-to-caption": ("mtcnn",),
    "facts-to-answer": ("mtcnn",),
    "whisper-tiny-en": ("whisper-tiny-en",),
    "minilm-l6-v2": ("minilm-l6-v2", "minilm-l6-v2-tokenizer"),
}


@pytest.mark.parametrize("model", TASKS)
def test_every_task_once(page: Page, model: str) -> None:
    need(*WEIGHTS.get(model, ()))
    given, place, answer = TASKS[model]
    choose(page, model)
    run(page, **given)
    assert page.locator(".problem").count() == 0, page.locator(".problem").all_inner_texts()
    page.wait_for_selector(place)
    if answer:
        assert re.search(answer, page.locator(place).first.inner_text(), re.IGNORECASE)
    else:  # a picture or a sound: it can be shown or played
        page.wait_for_function(SEEN_OR_HEARD, arg=place)


def test_a_video_is_played_with_its_boxes(page: Page) -> None:
    choose(page, "nanodet-g")
    run(page, file="videos/photos.mp4")
    page.wait_for_selector(".found video")
    assert re.fullmatch(r"\d+ frames", page.locator(".found figcaption").inner_text())
    page.wait_for_function("() => document.querySelector('.found video').currentTime > 0.1")


def test_boxes_can_be_switched_off_and_filtered(page: Page) -> None:
    choose(page, "nanodet-g")
    run(page, file="photos/cat.jpg")
    page.wait_for_function(PAINTED)
    page.get_by_label("Boxes").uncheck()
    page.wait_for_function(f"() => !({PAINTED})()")
    page.get_by_label("Boxes").check()
    page.get_by_label(re.compile("^Confidence")).fill("1")
    page.wait_for_function("() => document.querySelector('.found figcaption').textContent === '0 found'")


def test_the_camera_gives_boxes_as_it_goes(page: Page) -> None:
    choose(page, "nanodet-g")
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function("() => Number(document.querySelector('[data-testid=camera-answers]')?.textContent) > 5")
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator(".camera video").count() == 0


def test_what_is_spoken_is_written_down(page: Page) -> None:
    need("whisper-tiny-en")
    choose(page, "whisper-tiny-en")
    page.get_by_role("button", name="Record").click()  # the browser's own microphone: it beeps
    page.get_by_role("button", name="Stop recording").wait_for()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="recording.webm").wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector(".output[aria-busy=false]")
    assert page.locator(".problem").count() == 0, page.locator(".problem").all_inner_texts()


def test_the_live_view_answers_to_its_sliders(page: Page) -> None:
    page.get_by_role("link", name="Stream at work", exact=True).click()
    page.wait_for_selector(".plot canvas")

    def number(name: str) -> float:
        return float(page.get_by_test_id(name).inner_text())

    page.wait_for_function("() => Number(document.querySelector('[data-testid=answered]').textContent) > 20")
    before = page.locator(".plot canvas").nth(2).screenshot()
    assert number("dropped") == 0
    page.get_by_label(re.compile("^Inputs a second")).fill("300")
    page.locator("select[name=overflow]").select_option("drop_oldest")
    page.wait_for_function("() => Number(document.querySelector('[data-testid=oldest]').textContent) > 50")
    assert page.locator(".plot canvas").nth(2).screenshot() != before
    page.get_by_label(re.compile("^Window")).fill("64")  # room enough: the queue empties
    page.wait_for_function("() => Number(document.querySelector('[data-testid=window]').textContent) === 64")
    page.wait_for_function("() => Number(document.querySelector('[data-testid=oldest]').textContent) < 5")
    page.get_by_label(re.compile("^The model takes")).fill("600")
    page.wait_for_function("() => Number(document.querySelector('[data-testid=p50]').textContent) > 300")


def test_a_stopped_model_stops(page: Page) -> None:
    choose(page, "echo")
    page.get_by_text("Parameters").click() if page.get_by_text("Parameters").count() else None
    page.get_by_label(re.compile("^Text")).fill("word " * 5000)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".output")
    page.keyboard.press("Escape")
    page.wait_for_selector(".output[aria-busy=false]")


def test_it_is_used_by_keys_alone(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("sentiment")
    page.wait_for_function("() => document.querySelector('a.card').hash === '#/vader-sentiment'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".runner")
    field = page.get_by_label("Text")
    field.press("Control+a")
    field.press("Delete")
    field.press_sequentially("awful")  # without its last letter it is neutral
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".concepts")
    assert "negative" in page.locator(".concepts li").first.inner_text()


def test_the_code_that_it_shows_runs(page: Page, tmp_path: Path, address: str) -> None:
    shutil.copy(SAMPLES / "photos" / "cat.jpg", tmp_path)
    choose(page, "efficientnet-lite0")
    run(page, file="photos/cat.jpg")
    shown = {}
    for form in ("Python", "Command line", "curl"):
        page.get_by_role("button", name=form, exact=True).click()
        shown[form] = page.locator(".code pre").inner_text()
    (tmp_path / "program.py").write_text(shown["Python"])
    for command in (
        [sys.executable, "program.py"],
        ["bash", "-c", f'headrace() {{ {sys.executable} -m headrace.cli "$@"; }}; {shown["Command line"]}'],
        ["bash", "-c", shown["curl"]],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        assert "tiger cat" in done.stdout


def test_a_file_that_does_not_fit_is_told(page: Page) -> None:
    choose(page, "efficientnet-lite0")
    page.set_input_files("input[type=file]", str(SAMPLES / "texts" / "question.txt"))
    assert "this model takes image" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#/nanodet-g", "#/live"])
def test_axe_finds_nothing_serious(page: Page, address: str, node_modules: Path, colours: Any, place: str) -> None:
    axe = node_modules / "axe-core" / "axe.min.js"
    page.emulate_media(color_scheme=colours)
    page.goto(f"{address}/{place}")
    page.wait_for_selector({"": ".card", "#/nanodet-g": ".runner", "#/live": ".plot canvas"}[place])
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(one["id"], [node["html"] for node in one["nodes"]]) for one in serious], indent=1)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_cut_off_at_any_width(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for place in ("", "#/nanodet-g", "#/live"):
        page.goto(f"{address}/{place}")
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), place


@pytest.mark.alone
def test_the_first_paint_is_quick(browser: Browser, address: str) -> None:
    times: list[float] = []
    while len(times) < 8 and min(times, default=1e9) >= 300:  # other programs may be using the machine
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/")
        page.wait_for_selector(".top")
        times.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 1e9"))
        context.close()
    assert min(times) < 300, times


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What the page is built and checked with."""
    return needed("studio", install.studio) / "node_modules"


def test_the_built_files_are_those_of_the_sources(node_modules: Path, tmp_path: Path) -> None:
    for name in ("package.json", "index.html", "tsconfig.json", "vite.config.ts", "src"):
        source = PAGE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(node_modules)
    out = tmp_path / "out"
    command = ["npm", "run", "build", "--", "--outDir", str(out)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert contents(out) == contents(Path(headrace.__file__).parent / "web" / "studio" / "dist"), "run: make studio"


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
