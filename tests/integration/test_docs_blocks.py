"""Every fenced block of the README and of the pages below docs/ runs as pasted, page by page, in an empty folder."""

from __future__ import annotations

import re
import socket
import tomllib
from pathlib import Path

import pytest

from headrace.testing import ModelDouble, ReceivedInput
from headrace.v2 import resources_pb2 as pb
from tests.support.bridge import serving
from tests.support.forkserver import ForkServer
from tests.support.hosted import everything
from tests.support.pages import ROOT, Block, blocks, reader
from tests.support.plugin import with_plugin
from tests.support.weights import need

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Blocks that do not run here: page, some words of the block, and why. Nothing else is left out.
NOT_RUN = {
    ("README.md", "pip install '.[dev]'"): "runs the whole test suite",
    ("docs/live-video.md", "--camera 0"): "needs cameras: tests/integration/test_video_live.py has some",
    ("docs/interop.md", "from clarifai.client"): "needs the official SDK: tests/interop runs it",
    ("docs/interop.md", "clarifai-nodejs"): "needs the official SDK: tests/interop runs it",
}

#: What a page needs besides the package: weights, and packages that some versions of Python have no build of.
WEIGHTS = {
    "README.md": ("smollm2-135m-instruct",),
    "docs/start.md": ("smollm2-135m-instruct",),
    "docs/cli.md": ("smollm2-135m-instruct", "mtcnn", "minilm-l6-v2", "minilm-l6-v2-tokenizer"),
    "docs/integrations/langchain.md": ("smollm2-135m-instruct", "minilm-l6-v2", "minilm-l6-v2-tokenizer"),
    "docs/integrations/llama-index.md": ("smollm2-135m-instruct", "minilm-l6-v2", "minilm-l6-v2-tokenizer"),
    "docs/integrations/llm.md": ("smollm2-135m-instruct", "minilm-l6-v2", "minilm-l6-v2-tokenizer"),
    "docs/openai.md": ("smollm2-135m-instruct",),
    "docs/results.md": ("mtcnn", "minilm-l6-v2", "minilm-l6-v2-tokenizer"),
}
PACKAGES = {"docs/results.md": "pyanime4k"}

#: Pages whose blocks are tests: the reader runs pytest on all of them together.
TESTS = {"docs/testing.md"}

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
INSTALL = re.compile(r"pip install (\S+)$")
OTHERS = {
    "aiohttp",
    "clarifai",
    "pytest",
    "pytest-asyncio",
    "clarifai-grpc",
    "fastapi",
    "llm",
    "starlette",
}  # packages of others that pages install


def named(page: Path) -> str:
    """Name a page by its path, without what all of them share."""
    return page.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")


def reason(block: Block) -> str | None:
    """Say why a block is not run, if so."""
    reasons = [why for (page, words), why in NOT_RUN.items() if page == block.page and words in block.text]
    return reasons[0] if reasons else None


def hosted(item: ReceivedInput) -> pb.Data:
    """Answer as the hosted models of the pages do."""
    return everything("It will be bright.")


@pytest.mark.models
@pytest.mark.timeout(600)  # a language model on a busy machine
@pytest.mark.parametrize("page", PAGES, ids=named)
async def test_the_blocks_of_a_page_run_as_pasted(
    page: Path, tmp_path: Path, environment: dict[str, str], forks: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = page.relative_to(ROOT).as_posix()
    need(*WEIGHTS.get(name, ()))
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason="has no build for this Python")
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with serving(ModelDouble(hosted)) as api:  # in place of the hosted API, of which no page can know
        environment = {**environment, "CLARIFAI_API_BASE": api.address, **with_plugin(tmp_path)}
        for variable in ("CLARIFAI_API_BASE", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(variable, environment[variable])
        monkeypatch.setenv("CLARIFAI_PAT", "made-up")  # of the prompt, which a shell's `export` does not reach
        async with reader(
            folder, environment, forks, {port: free_port() for port in ("8080", "8081", "8082")}
        ) as person:
            if name in TESTS:
                await person.read(as_tests(blocks(page)))
                return
            for block in blocks(page):
                if reason(block) is None:
                    await person.read(without_installing(block))


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def as_tests(page: list[Block]) -> Block:
    """Make one block of a page's tests that runs them."""
    text = "\n\n".join(block.text for block in page)
    command = "python -m pytest -q -p pytest_headrace -p no:cacheprovider -o asyncio_mode=auto test_page.py"
    return Block(page[0].page, page[0].line, "bash", f"cat > test_page.py <<'END'\n{text}\nEND\n{command}\n")


def without_installing(block: Block) -> Block:
    """Take the lines out that install something: they are looked at by a test of their own."""
    if "pip install" not in block.text:
        return block
    text = re.sub(r"^(\$ )?pip install \S+( && |$)", "", block.text, flags=re.MULTILINE)
    return Block(block.page, block.line, block.language, text, block.printed)


def test_what_is_installed_can_be() -> None:
    """The package is not on the index yet: pages install a checkout, with extras that there are."""
    for page in [*PAGES, *sorted((ROOT / "examples").glob("*.py"))]:
        for what in re.findall(r"pip install ('[^']*'|[\w.\[\]-]+)", page.read_text(encoding="utf-8")):
            what = what.strip("'")
            extras = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", what)
            assert extras or what in OTHERS, f"{page.name}: pip install {what}"
            if extras and extras[1]:
                assert set(extras[1].split(",")) <= set(EXTRAS), f"{page.name}: {what}"


def test_every_extra_stands_on_the_page_about_installing() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    assert rows == set(EXTRAS) - {"dev", "bench", "docs"}  # for work on headrace itself


def test_each_exception_is_one() -> None:
    for page, words in NOT_RUN:
        assert [block for block in blocks(ROOT / page) if words in block.text], (page, words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, link


def test_every_command_and_format_stands_in_the_page_of_the_command_line() -> None:
    from headrace.cli.app import COMMANDS

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"headrace {command}" in text
    for form in ("json", "jsonl", "csv"):
        assert f"`-o {form}`" in text


def test_the_readme_leads_to_every_page_and_example() -> None:
    """By itself, or through pages that it leads to."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        links = re.findall(r"\]\((?!https?:)([^)#\s]+\.(?:md|py))", page.read_text(encoding="utf-8"))
        fresh = {(page.parent / link).resolve() for link in links} - reached
        reached |= fresh
        waiting += [path for path in fresh if path.suffix == ".md" and path.exists()]
    missed = {*PAGES[1:], *(ROOT / "examples").glob("*.py")} - reached
    assert not missed, sorted(path.name for path in missed)
