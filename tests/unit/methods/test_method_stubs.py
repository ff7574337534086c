"""Type stubs of models: valid Python whatever a server says, and right for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.blocking import Client
from headrace.methods.signatures import Method
from headrace.methods.stubs import class_name_of, signatures, stub
from headrace.v2 import resources_pb2 as pb

F = pb.ModelTypeField


def method(name: str = "m", *fields: dict[str, Any], kind: Any = 1, description: str = "") -> Method:
    message = pb.MethodSignature(name=name, method_type=kind, description=description)
    for field in fields:
        message.input_fields.add(**{"type": F.STR, "required": True, **field})
    message.output_fields.add(name="return", type=F.STR)
    return Method.of(message)


def arguments(*fields: dict[str, Any]) -> ast.arguments:
    tree = ast.parse(stub([method("m", *fields)], "Shout", "u/a/m"))
    return next(node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "call")


HOSTILE = [
    'x"""\nimport os\nos.system("true")\n"""',
    "x\\",
    'x"',
    '"""',
    "\\N{BULLET} \\x41 \\u0041",
    "\x1b[2J\x00\r\u202e\u2028",
    "class",
    "",
    "a b",
    "é\U0001f600",
    "{0} %s {__import__}",
    "None]: ...\n",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("blocking", [False, True])
def test_texts_of_a_server_never_become_code(text: str, blocking: bool) -> None:
    field = {"name": text, "description": text, "default": text, "required": False}
    shapes = [method(text, field, {"name": "fine"}, kind=kind, description=text) for kind in (1, 2, 4)]
    code = stub(shapes, "Shout", text, blocking=blocking)
    tree = ast.parse(code)
    assert all(character.isprintable() or character == "\n" for character in code)
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign, ast.ClassDef}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if not node.name.startswith("_")] == ["Shout"]
    literals = [
        node.slice.value
        for node in ast.walk(classes[-1])
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and ast.unparse(node.value) == "Literal"
    ]
    assert literals == [text] * 3
    assert ast.literal_eval(f"({text!r})") in (ast.get_docstring(tree, clean=False) or "")


@pytest.mark.parametrize(
    ("fields", "positional", "by_name", "others"),
    [
        ([{"name": "a"}, {"name": "b", "required": False}], ["a", "b"], ["timeout", "metadata"], False),
        ([{"name": "a", "required": False}, {"name": "b"}], ["a"], ["b", "timeout", "metadata"], False),
        ([{"name": "a"}, {"name": "class"}, {"name": "b"}], ["a"], ["b", "timeout", "metadata"], True),
        ([{"name": "class"}, {"name": "a"}], [], ["a", "timeout", "metadata"], True),
        ([{"name": "a"}, {"name": "a"}], ["a"], ["timeout", "metadata"], True),
        ([{"name": "__a"}], [], ["timeout", "metadata"], True),
        ([{"name": "a b"}, {"name": "é"}], [], ["timeout", "metadata"], True),
        ([{"name": "timeout"}], ["timeout"], ["metadata"], False),
        ([{"name": "timeout"}, {"name": "metadata"}], ["timeout", "metadata"], [], False),
        ([{"name": "self"}, {"name": "method"}], ["self", "method"], ["timeout", "metadata"], False),
        ([{"name": "arguments"}, {"name": "if"}], ["arguments"], ["timeout", "metadata"], True),
        ([], [], ["timeout", "metadata"], False),
    ],
)
def test_arguments_by_position_and_by_name(
    fields: list[dict[str, Any]], positional: list[str], by_name: list[str], others: bool
) -> None:
    found = arguments(*fields)
    assert [one.arg for one in found.args] == positional
    assert [one.arg for one in found.kwonlyargs] == by_name
    assert (found.kwarg is not None) is others
    assert len(found.posonlyargs) == 2


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("shout", "Shout"),
        ("text-to-image", "TextToImage"),
        ("qwen2.5-coder-1.5b", "Qwen25Coder15b"),
        ("4k", "The4k"),
        ("model", "TheModel"),
        ("any", "TheAny"),
        ("none", "TheNone"),
        ("---", "The"),
        ("é", "The"),
    ],
)
def test_the_class_is_named_after_the_model(model_id: str, name: str) -> None:
    assert class_name_of(model_id) == name
    stub([method()], name, "u/a/m")


@pytest.mark.parametrize("name", ["class", "a b", "", "1a", "Model", "Any", "MethodCall"])
def test_a_class_cannot_have_every_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a class"):
        stub([method()], name, "u/a/m")


def test_a_model_without_methods_needs_no_stub() -> None:
    with pytest.raises(ValueError, match="publishes no methods"):
        stub([], "Shout", "u/a/m")


def test_only_signatures_count_when_stubs_are_compared() -> None:
    before = stub([method("m", {"name": "a"}, description="Old words.")], "Shout", "u/a/m")
    after = stub([method("m", {"name": "a"}, description="")], "Shout", "u/a/m")
    assert before != after
    assert signatures(before) == signatures("# a comment\n" + after.replace("    ", "  "))
    other = stub([method("m", {"name": "a", "type": F.INT})], "Shout", "u/a/m")
    assert signatures(before) != signatures(other)


USER = """# pyright: reportUnnecessaryTypeIgnoreComment=true
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_type, cast

import headrace
from headrace import blocking

if TYPE_CHECKING:
    from shout import Shout
    from shout_blocking import Shout as BlockingShout

def words() -> Iterator[str]:
    yield "word"

async def use(client: headrace.Client) -> None:
    model = cast("Shout", client.model("u/a/models/m"))
    assert_type(await model.call("shout", "a"), str)
    assert_type(await model.call("shout", text="a", times=2, timeout=1.0), str)
    assert_type([word async for word in model.call("spell", "a")], list[list[headrace.Concept]])
    async with model.call("echo", words()) as answers:
        async for answer in answers:
            assert_type(answer, dict[str, Any])
    await model.call("shout", 1)  # type: ignore
    await model.call("shout")  # type: ignore
    await model.call("shout", "a", tmies=2)  # type: ignore
    model.call("shuot", "a")  # type: ignore
    await model.predict("a", "text")

def use_blocking(client: blocking.Client) -> None:
    model = cast("BlockingShout", client.model("u/a/models/m"))
    assert_type(model.call("shout", "a"), str)
    assert_type([word for word in model.call("spell", "a")], list[list[headrace.Concept]])
    with model.call("echo", words()) as answers:
        for answer in answers:
            assert_type(answer, dict[str, Any])
    model.call("shout", 1)  # type: ignore
    model.call("shuot", "a")  # type: ignore
"""


def checked(folder: Path) -> None:
    """Check all files of a folder with mypy and with pyright, both strict."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    files = sorted(str(path.name) for path in folder.glob("*.py*") if path.suffix in (".py", ".pyi"))
    for command in (
        ["pyright", "--pythonpath", sys.executable],
        ["mypy", "--strict", "--config-file=", *files],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)  # type checkers read the whole package
def test_type_checkers_take_the_stubs_and_find_what_is_wrong(tmp_path: Path) -> None:
    kinds: dict[str, Any] = {"shout": 1, "spell": 2, "echo": 4, "every": 1}
    shout, spell, echo, every = (pb.MethodSignature(name=name, method_type=kind) for name, kind in kinds.items())
    shout.input_fields.add(name="text", type=F.STR, required=True)
    shout.input_fields.add(name="times", type=F.INT, default="1")
    shout.output_fields.add(name="return", type=F.STR)
    spell.input_fields.add(name="text", type=F.TEXT, required=True)
    spell.output_fields.add(name="return", type=F.LIST, iterator=True).type_args.add(type=F.CONCEPT)
    echo.input_fields.add(name="text", type=F.STR, required=True, iterator=True)
    for name in ("a", "b"):
        echo.output_fields.add(name=name, type=F.STR, iterator=True)
    for number, kind in enumerate(F.DataType.values()):
        field = every.input_fields.add(name=f"a{number}", type=kind, required=True)
        if kind in (F.LIST, F.TUPLE):
            field.type_args.add(type=F.IMAGE)
    every.output_fields.extend(every.input_fields)
    hostile = [method(text, {"name": text, "description": text}, description=text) for text in HOSTILE[:-1]]
    methods = [*map(Method.of, (shout, spell, echo, every)), *hostile]
    (tmp_path / "shout.pyi").write_text(stub(methods, "Shout", "u/a/m"))
    (tmp_path / "shout_blocking.pyi").write_text(stub(methods, "Shout", "u/a/m", blocking=True))
    (tmp_path / "one.pyi").write_text(stub(methods[:1], "One", "u/a/m"))
    (tmp_path / "one_blocking.pyi").write_text(stub(methods[:1], "One", "u/a/m", blocking=True))
    (tmp_path / "user.py").write_text(USER)
    checked(tmp_path)


@pytest.mark.timeout(400)
def test_type_checkers_take_the_stubs_of_all_built_in_models(tmp_path: Path) -> None:
    with Client.local() as client:
        for info in client.models():
            model = client.model(model_id=info.id)
            for blocking in (False, True):
                name = class_name_of(info.id)
                code = stub(model.methods(), name, str(model.ref), blocking=blocking)
                (tmp_path / f"{name}{'_blocking' if blocking else ''}.pyi").write_text(code)
    assert len(list(tmp_path.iterdir())) > 20
    checked(tmp_path)
