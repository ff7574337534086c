"""The structure of the package, read from its files: who may import whom, sizes, names, and what importing costs."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace

SOURCE = Path(headrace.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE / "v2")

#: Rooms from the bottom up: each may import those of its own floor and of the floors below.
FLOORS = (
    ("errors", "support", "types", "_version", "v2"),
    ("target", "status", "events", "emitter", "reference", "media"),
    ("config", "credentials", "local", "draw"),
    ("transport", "flow"),
    ("codec", "channels"),
    ("inputs", "results", "export", "tables"),
    ("sources", "track", "sinks"),
    ("calls",),
    ("frames", "methods", "catalog"),
    ("model_calls",),
    ("forms",),
    ("model",),
    ("client",),
    ("chat",),
    ("headrace",),  # the package itself: the public names
    ("blocking", "testing", "server", "bulk", "cli", "web", "integrations"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: What is reached upwards, inside a function, and why.
UPWARDS = {
    ("model", "client"),  # a model that is used alone owns a client
    ("results", "integrations"),  # a prediction as an object of another library
    ("frames", "integrations"),
}
#: Only these may be reached into by nobody, or by few.
ONLY_FOR = {
    "server": {"server", "cli"},
    "cli": {"cli"},
    "bulk": {"bulk", "cli"},
    "testing": {"testing", "server", "web"},
    "web": {"web", "server", "cli"},
    "client": {"client", "model", "headrace", "blocking", "bulk", "cli", "integrations"},
    "channels": {"channels", "calls", "client"},
}


def module_of(path: Path) -> str:
    parts = ("headrace", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "headrace"


@functools.cache
def imports_of(path: Path, *, at_top: bool = False, for_types: bool = False) -> tuple[str, ...]:
    """Every module that a file imports when it runs; `at_top`: when it is imported; `for_types`: for checkers too."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not for_types:
                continue
            if at_top and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                assert child.module is not None
                yield from (whole(child.module, alias.name) for alias in child.names)
            yield from visit(child)

    return tuple(visit(ast.parse(path.read_text(encoding="utf-8"))))


def whole(module: str, name: str) -> str:
    """`from a import b` means the module a.b where there is one."""
    inside = SOURCE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if inside.is_dir() or inside.with_suffix(".py").is_file() else module


@functools.cache  # when the first test asks: every process that runs tests imports this file, one runs it
def edges() -> list[tuple[str, str]]:
    """Every import of one room's module by another room's."""
    return [
        (module_of(path), imported)
        for path in FILES
        for imported in imports_of(path)
        if imported.split(".")[0] == "headrace" and room_of(imported) != room_of(module_of(path))
    ]


def test_imports_are_read() -> None:
    assert ("headrace.calls.unary.call", "headrace.channels.connection") in edges()
    assert ("headrace.model", "headrace.client") in edges()  # inside a function
    assert len(edges()) > 100


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in FILES}
    assert rooms <= set(FLOOR), "give it a place in FLOORS"


def test_rooms_import_downwards_only() -> None:
    wrong = [
        f"{importer} -> {imported}"
        for importer, imported in edges()
        if (pair := (room_of(importer), room_of(imported))) not in UPWARDS and FLOOR[pair[0]] < FLOOR[pair[1]]
    ]
    assert not wrong


#: Modules that import each other, lazily or for types, and why that is right.
CIRCLES = {
    frozenset({"client", "model"}),  # a model that is used alone owns a client
    frozenset({"blocking.client", "blocking.model"}),  # the same
    frozenset(  # a prediction's methods
        {
            *("results.prediction", "results.shown", "results.saving", "results.notebook", "export"),
            *("tables.columns", "tables.batch", "tables.writer"),
        }
    ),
}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Find the groups of modules in which each reaches each."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            if (module := todo.pop()) in graph and module not in seen:
                seen.add(module)
                todo += graph[module]
        return seen

    reach = {module: reached(module) for module in graph}
    return {
        frozenset(other for other in reach if other in reach[module] and module in reach[other])
        for module in graph
        if module in reach[module]
    }


def test_circles_are_noticed() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "x"}}) == {frozenset("bc")}


def test_modules_import_each_other_only_where_it_is_said_why() -> None:
    graph = {module_of(path): set(imports_of(path, for_types=True)) - {module_of(path)} for path in FILES}
    assert circles(graph) == {frozenset(f"headrace.{module}" for module in group) for group in CIRCLES}


@pytest.mark.parametrize("room", ONLY_FOR)
def test_some_rooms_are_only_for_a_few(room: str) -> None:
    strangers = {
        importer
        for importer, imported in edges()
        if room_of(imported) == room and room_of(importer) not in ONLY_FOR[room]
    }
    assert not strangers


def users_of(*packages: str) -> set[str]:
    return {
        module_of(path)
        for path in FILES
        if any(name == p or name.startswith(f"{p}.") for name in imports_of(path) for p in packages)
    }


def test_one_package_of_the_client_knows_grpc() -> None:
    client_side = {module for module in users_of("grpc") if room_of(module) != "server"}
    assert {module.rpartition(".")[0] for module in client_side} == {"headrace.transport.grpc"}
    inside = users_of("headrace.transport.grpc") - users_of("grpc")
    assert not {module for module in inside if module.split(".")[:2] != ["headrace", "transport"]}


@pytest.mark.parametrize("room", ["sources", "flow", "transport", "channels", "config", "errors", "events", "status"])
def test_what_moves_bytes_knows_no_messages(room: str) -> None:
    knowing = users_of("google.protobuf", "headrace.v2", "headrace.codec")
    assert not {module for module in knowing if room_of(module) == room}


@pytest.mark.parametrize("room", ["flow", "sources", "inputs", "results", "codec"])
def test_what_holds_data_knows_no_connection(room: str) -> None:
    knowing = users_of(
        "headrace.transport.grpc", "headrace.transport.h2", "headrace.transport.memory", "headrace.channels"
    )
    assert not {module for module in knowing if room_of(module) == room}


HEAVY = (
    "numpy",
    "PIL",
    "av",
    "httpx",
    "yaml",
    "click",
    "rich",
    "pyarrow",
    "pandas",
    "supervision",
    "mcp",
    "onnxruntime",
    "xllamacpp",
    "grpc_health",
    "grpc_reflection",
    "langchain_core",
    "llama_index",
    "pydantic",
    "headrace.cli",
    "headrace.server",
    "headrace.testing",
)


def test_nothing_of_the_core_imports_an_extra_at_its_top() -> None:
    extras = set(HEAVY) - {"headrace.cli", "headrace.server", "headrace.testing"}
    wrong = {
        (module_of(path), name)
        for path in FILES
        if room_of(module_of(path)) not in ("server", "cli", "testing", "bulk", "web", "integrations")
        for name in imports_of(path, at_top=True)
        if name.split(".")[0] in extras
    }
    assert not wrong


def pillow_doors(path: Path) -> Iterator[str]:
    """Give each place of a file where Pillow opens a picture without being told its formats."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {"PIL.Image"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("PIL", "PIL.Image"):
            names |= {
                (alias.asname or alias.name) if alias.name == "Image" else f"={alias.asname or alias.name}"
                for alias in node.names
                if alias.name in ("Image", "open")
            }
        elif isinstance(node, ast.Import):
            names |= {alias.asname for alias in node.names if alias.name == "PIL.Image" and alias.asname}
        elif isinstance(node, ast.Assign) and "'PIL.Image'" in ast.unparse(node.value):
            names |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        door = ast.unparse(node.func)
        opens = door.removesuffix(".open") in names if door.endswith(".open") else f"={door}" in names
        if opens and not any(keyword.arg == "formats" for keyword in node.keywords):
            yield f"{path.name}:{node.lineno} {door}"
        if door.endswith("ImageFile.Parser"):
            yield f"{path.name}:{node.lineno} {door}, which takes any format"


@pytest.mark.parametrize(
    ("source", "doors"),
    [
        ("from PIL import Image\nImage.open(file)", 1),
        ("from PIL import Image as Pictures\nPictures.open(file)", 1),
        ("from PIL.Image import open as look\nlook(file)", 1),
        ("import PIL.Image\nPIL.Image.open(file)", 1),
        ("import PIL.Image as I\nI.open(file)", 1),
        ("pillow = require('PIL.Image', 'pictures')\npillow.open(file)", 1),
        ("from PIL import ImageFile\nImageFile.Parser()", 1),
        ("from PIL import Image\nImage.open(file, formats=FORMATS)", 0),
        ("import av\nav.open(file)\nopen(file)", 0),
    ],
)
def test_pictures_opened_in_any_format_are_found(tmp_path: Path, source: str, doors: int) -> None:
    (tmp_path / "module.py").write_text(source)
    assert len(list(pillow_doors(tmp_path / "module.py"))) == doors


def test_pictures_are_opened_in_named_formats_only() -> None:
    assert not [door for path in FILES for door in pillow_doors(path)]


def test_importing_the_package_is_cheap() -> None:
    script = "import sys, json; from headrace import *; print(json.dumps(sorted(sys.modules)))"  # all its names
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    modules = set(json.loads(run.stdout))
    assert not modules & {*HEAVY, "grpc"}
    assert len(modules) < 330
    assert run.stderr == ""


def test_files_are_small() -> None:
    lengths = {module_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {module: length for module, length in lengths.items() if length > 500}


def test_most_files_are_much_smaller() -> None:
    lines = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.name != "__init__.py")
    assert lines[len(lines) // 2] <= 170


def test_every_file_says_what_it_is() -> None:
    parsed = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    assert [module for module, tree in parsed.items() if not ast.get_docstring(tree)] in ([], ["headrace._version"])


# -- public names


def test_the_public_names_are_sorted_and_complete() -> None:
    def place(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert headrace.__all__ == sorted(headrace.__all__, key=place)
    found = {
        name for name in dir(headrace) if not name.startswith("_") and not inspect.ismodule(getattr(headrace, name))
    }
    assert found | {"__version__"} == set(headrace.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        headrace.Clinet  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_modules_that_the_names_are_imported_from() -> None:
    (block,) = (
        node
        for node in ast.parse(Path(headrace.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imported = {a.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for a in node.names}
    modules = {name for name, module in imported.items() if module == "headrace"}
    assert {n: m for n, m in imported.items() if n not in modules} == {
        name: f"headrace.{module}" for name, module in headrace._MODULE.items()
    }
    assert modules == headrace._MODULES - {module.partition(".")[0] for module in headrace._NAMES} | {"errors"}


def test_the_package_imports_nothing_of_its_own_before_a_name_is_used() -> None:
    script = """
import sys, headrace
print(sorted(name for name in sys.modules if name.startswith("headrace.")))
headrace.errors.HeadraceError
from headrace import *
print(Client.__module__, __version__)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == f"['headrace._version']\nheadrace.client {headrace.__version__}\n"


def test_every_name_of_the_specification_is_there() -> None:
    names = {
        "Client",
        "Model",
        "Input",
        "Prediction",
        "Limits",
        "RetryPolicy",
        "Timeouts",
        "PartialFailure",
        "StreamBroken",
    }
    assert names <= set(headrace.__all__)


#: No classes: a number and an alias of types, described where they stand.
VALUES = {"__version__", "InputLike"}


def test_every_public_name_and_its_methods_are_documented(subtests: pytest.Subtests) -> None:
    for name in sorted(set(headrace.__all__) - VALUES):
        with subtests.test(name=name):
            public = getattr(headrace, name)
            assert inspect.getdoc(public)
            assert public.__module__.startswith("headrace.")
            for method, value in vars(public).items() if inspect.isclass(public) else ():
                described = callable(value) or isinstance(value, property | classmethod | staticmethod)
                if described and not method.startswith("_"):
                    assert inspect.getdoc(getattr(public, method, value)), f"{name}.{method}"


@pytest.mark.parametrize(
    "module",
    [
        "headrace.blocking",
        "headrace.testing",
        "headrace.sources",
        "headrace.frames",
        "headrace.sinks",
        "headrace.tables",
    ],
)
def test_public_rooms_name_and_document_what_is_theirs(module: str) -> None:
    room = importlib.import_module(module)
    assert list(room.__all__) == sorted(room.__all__, key=lambda name: (name[0].islower(), name))
    for name in room.__all__:
        value = getattr(room, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{module}.{name}"


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()
