"""The page about messages and the messages of the source: each knows the other."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import headrace
from headrace import errors, status

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "headrace"
PAGE = ROOT / "docs" / "troubleshooting.md"

#: Messages of others that people meet together with ours: Python's own.
FOREIGN = ("asyncio.run() cannot be called", "coroutine ... was never awaited", "'coroutine' object has no attribute")
CLASSES = {
    name
    for name in errors.__dict__
    if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), errors.HeadraceError)
}
#: Not the library's: servers and the command line report theirs to their own callers; doubles are for tests.
ELSEWHERE = ("v2", "server", "cli", "web", "integrations/mcp", "testing", "transport/memory")
HOLE = "\0"  # stands for what a message says only when it is raised


@functools.cache
def literals(path: Path) -> tuple[str, ...]:
    """Give every text of a module, docstrings aside; what an f-string puts in is a hole."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    skipped |= {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    return tuple(
        text
        for node in ast.walk(tree)
        if id(node) not in skipped and isinstance(node, ast.expr) and (text := spelled(node))
    )


def spelled(node: ast.expr) -> str:
    """Give the text that an expression spells, "" where it spells none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(spelled(part) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    return ""


def raised() -> Iterator[tuple[str, str]]:
    """Give (where, message) of every error of the library whose message is written where it is made."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(tuple(f"{folder}/" for folder in ELSEWHERE)):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in CLASSES:
                for part in ast.walk(node.args[0]):
                    if isinstance(part, ast.JoinedStr) or (part is node.args[0] and isinstance(part, ast.Constant)):
                        yield f"{name}:{node.lineno}", spelled(part)


@functools.cache
def quoted() -> tuple[str, ...]:
    """Give the messages of the page: the code in the first column of the tables of messages."""
    found: list[str] = []
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        inside = line.startswith("|") and (
            inside or line.startswith(("| the message says |", "| class, and the advice"))
        )
        if inside:
            first = re.split(r" \| ", line.removeprefix("| "))[0]
            found += [double or single for double, single in re.findall(r"``(.+?)``|`([^`]+)`", first)]
    return tuple(one for one in found if one not in CLASSES and not one.startswith(FOREIGN))


@functools.cache
def pattern(fragment: str) -> re.Pattern[str]:
    """Make what a fragment of the page means: its words, in this order, with anything for `...`."""
    return re.compile(".*".join(re.escape(part.strip() or " ") for part in fragment.split("...")), re.DOTALL)


def test_every_message_of_the_page_is_one_of_the_source() -> None:
    texts = [text for path in sorted(SOURCE.rglob("*.py")) for text in literals(path)]
    missing = [fragment for fragment in quoted() if not any(pattern(fragment).search(text) for text in texts)]
    assert not missing


def test_every_error_of_the_library_is_on_the_page() -> None:
    patterns = [pattern(fragment) for fragment in quoted()]
    missing = [
        (where, message.replace(HOLE, "..."))
        for where, message in raised()
        if len(re.sub(r"\W|\0", "", message)) > 5 and not any(one.search(message) for one in patterns)
    ]
    assert not missing


def test_every_class_and_advice_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    classes = {name for name in headrace.__all__ if name in CLASSES} - {
        "HeadraceError",
        "TransportError",
        "ServerError",
    }
    assert not {name for name in classes if f"`{name}`" not in text}
    for advice in status.ADVICE.values():
        assert any(pattern(fragment).search(advice) for fragment in quoted()), advice


def test_a_fragment_is_long_enough_to_be_searched_for() -> None:
    for fragment in quoted():
        assert len(re.sub(r"\W", "", fragment.replace("...", ""))) >= 4, fragment
