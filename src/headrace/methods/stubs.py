"""Type stubs of a model: its methods as overloads of `call`, for type checkers and editors.

What a server says of its model is text of a stranger: it becomes string literals and docstrings, never code.
"""

from __future__ import annotations

import ast
import itertools
import keyword
import re
from collections.abc import Callable, Iterable, Sequence

from headrace.methods.signatures import Method, Parameter
from headrace.support.texts import shortened
from headrace.v2 import resources_pb2 as pb

DOC_CHARACTERS = 2000  # of one description
_Field = pb.ModelTypeField
_MEDIUM = "bytes | bytearray | memoryview | str"
#: What a caller may give, and what the answer holds, by the protocol's type.
_TAKEN = {
    _Field.STR: "str",
    _Field.BYTES: "bytes | bytearray | memoryview",
    _Field.INT: "int",
    _Field.FLOAT: "float",
    _Field.BOOL: "bool",
    _Field.TEXT: "str",
    _Field.IMAGE: f"{_MEDIUM} | PictureLike | ArrayLike",
    _Field.AUDIO: _MEDIUM,
    _Field.VIDEO: _MEDIUM,
    _Field.JSON_DATA: "Mapping[str, Any] | list[Any]",
    _Field.CONCEPT: "Concept | tuple[str, float]",
    _Field.REGION: "Region",
    _Field.FRAME: "Frame",
    _Field.NAMED_FIELDS: "Mapping[str, Any]",
}
_GIVEN = {
    _Field.STR: "str",
    _Field.BYTES: "bytes",
    _Field.INT: "int",
    _Field.FLOAT: "float",
    _Field.BOOL: "bool",
    _Field.TEXT: "str",
    _Field.IMAGE: "bytes | str | None",
    _Field.AUDIO: "bytes | str | None",
    _Field.VIDEO: "bytes | str | None",
    _Field.CONCEPT: "Concept | list[Concept] | None",
    _Field.REGION: "Region | list[Region] | None",
    _Field.FRAME: "Frame | list[Frame] | None",
    _Field.NAMED_FIELDS: "dict[str, Any]",
}
_ITEMS = {_Field.CONCEPT: "Concept", _Field.REGION: "Region", _Field.FRAME: "Frame"}  # of a list of them

_IMPORTS = {
    "collections.abc": ("AsyncIterable", "Generator", "Iterable", "Mapping", "Sequence"),
    "typing": ("Any", "Generic", "Literal", "TypeVar", "overload"),
    "headrace": ("Concept", "Frame", "Region"),
    "headrace.inputs.value": ("ArrayLike", "PictureLike"),
}
_ANSWER = """
class _Answer(MethodCall, Generic[_T]):
    def __await__(self) -> Generator[Any, None, _T]: ...
"""
_ANSWERS = """
class _Answers(MethodCall, Generic[_T]):
    async def __anext__(self) -> _T: ...
"""
_BLOCKING_ANSWERS = """
class _Answers(MethodCall, Generic[_T]):
    def __next__(self) -> _T: ...
"""


def stub(methods: Sequence[Method], class_name: str, model: str, *, blocking: bool = False) -> str:
    """Write the stub of a model: a class with its methods as overloads of `call`.

    Args:
        methods: the model's.
        class_name: an identifier.
        model: which model it is, for the docstring.
        blocking: for `headrace.blocking` instead of the asyncio API.

    Raises:
        ValueError: the model has no methods, or `class_name` is no identifier.
    """
    if not methods:
        raise ValueError("the model publishes no methods: predict, generate and stream have their types already")
    if not is_class_name(class_name):
        raise ValueError(f"{class_name!r} cannot be the name of a class")
    alone = len(methods) == 1
    calls = "\n".join(
        _call(method, first=not index, alone=alone, blocking=blocking) for index, method in enumerate(methods)
    )
    body = f'class {class_name}(Model):\n    """{_literal(f"The model {model}.")}"""\n\n{calls}'
    shapes = {method.shape for method in methods}
    helpers = "" if blocking or "unary" not in shapes else _ANSWER
    if shapes - {"unary"}:
        helpers += _BLOCKING_ANSWERS if blocking else _ANSWERS
    if helpers:
        helpers = f'\n_T = TypeVar("_T")\n{helpers}'
    code = f"{helpers}\n{body}"
    origin = "headrace.blocking" if blocking else "headrace"
    classes = "MethodCall, Model" if "MethodCall" in helpers else "Model"
    imports = [*_imports(code), f"from {origin} import {classes}"]
    what = f'"""Types of the model {_literal(model)}, written by `headrace models stub`."""'
    return f"{what}\n\n" + "\n".join(imports) + f"\n{code}"


def class_name_of(model_id: str) -> str:
    """Make the name of a class out of a model's id: "text-to-image" is TextToImage."""
    words = re.findall(r"[A-Za-z0-9]+", model_id)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if is_class_name(name) else f"The{name}" if is_class_name(f"The{name}") else "TheModel"


def is_class_name(text: str) -> bool:
    """Return whether a class of a stub can have this name."""
    return is_name(text) and text not in {"MethodCall", "Model", *itertools.chain(*_IMPORTS.values())}


def is_name(text: str) -> bool:
    """Return whether a text can be a name in Python."""
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text)


def signatures(code: str) -> str:
    """Return a stub without what does not count when stubs are compared: docstrings, comments, layout.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
    return ast.unparse(tree) + "\n"


def _imports(code: str) -> Iterable[str]:
    used = set(re.findall(r"\w+", signatures(code)))
    for module, names in _IMPORTS.items():
        if wanted := [name for name in names if name in used]:
            yield f"from {module} import {', '.join(wanted)}"


def _call(method: Method, *, first: bool, alone: bool, blocking: bool) -> str:
    arguments, unnamed = _arguments(method)
    result = _result(method)
    if method.shape != "unary":
        result = f"_Answers[{result}]"
    elif not blocking:
        result = f"_Answer[{result}]"
    ignored = "  # type: ignore[override]"  # narrower than what it overrides, on purpose
    lines = [f"    def call({ignored}"] if alone else [f"    @overload{ignored if first else ''}", "    def call("]
    lines += [f"        {argument}," for argument in arguments]
    lines.append(f"    ) -> {result}:")
    lines += _docstring(method, unnamed)
    lines.append("        ...\n")
    return "\n".join(lines)


def _arguments(method: Method) -> tuple[list[str], list[Parameter]]:
    """Write the parameters of a method; those that Python cannot name come as a second list."""
    names = [parameter.name for parameter in method.parameters]
    named: dict[str, Parameter] = {}
    unnamed = []
    for parameter in method.parameters:
        usable = is_name(parameter.name) and not parameter.name.startswith("__") and parameter.name not in named
        if usable:
            named[parameter.name] = parameter
        else:
            unnamed.append(parameter)
    written = [_free("self", names), f"{_free('method', names)}: Literal[{_quoted(method.name)}]", "/"]
    by_name = optional = False
    for parameter in method.parameters:
        if named.get(parameter.name) is not parameter:
            by_name = True  # what follows has another position in Python
            continue
        if (by_name or (optional and parameter.required)) and "*" not in written:
            written.append("*")  # a required one cannot follow an optional one
        optional = optional or not parameter.required
        type_ = _taken(parameter.field)
        if parameter.iterator:
            type_ = f"Iterable[{type_}] | AsyncIterable[{type_}]"
        written.append(f"{parameter.name}: {type_}{'' if parameter.required else ' | None = ...'}")
    own = [("timeout", "float"), ("metadata", "Sequence[tuple[str, str]]")]
    if free := [f"{name}: {type_} | None = ..." for name, type_ in own if name not in names]:
        written += free if "*" in written else ["*", *free]
    if unnamed:
        written.append(f"**{_free('arguments', names)}: Any")
    return written, unnamed


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _result(method: Method) -> str:
    if len(method.returns) == 1:
        return _given(method.returns[0].field)
    return "dict[str, Any]"


def _taken(field: pb.ModelTypeField) -> str:
    return _typed(field, _TAKEN, _taken, "Iterable")


def _given(field: pb.ModelTypeField) -> str:
    if field.type == _Field.LIST and field.type_args and field.type_args[0].type in _ITEMS:
        return f"list[{_ITEMS[field.type_args[0].type]}]"
    return _typed(field, _GIVEN, _given, "list")


def _typed(
    field: pb.ModelTypeField, plain: dict[pb.ModelTypeField.DataType, str], inner: Callable[..., str], many: str
) -> str:
    if field.type == _Field.LIST and field.type_args:
        return f"{many}[{inner(field.type_args[0])}]"
    if field.type == _Field.TUPLE:
        return f"tuple[{', '.join(map(inner, field.type_args)) or '()'}]"
    return plain.get(field.type, "Any")


def _docstring(method: Method, unnamed: Sequence[Parameter]) -> list[str]:
    lines = _literal(shortened(method.description.strip(), DOC_CHARACTERS)).split("\n") if method.description else []
    described = [
        f"    {_literal(_one_line(parameter))}"
        for parameter in method.parameters
        if parameter.description or parameter.default or parameter in unnamed
    ]
    if described:
        lines += ["", "Args:", *described] if lines else ["Args:", *described]
    if not lines:
        return []
    texts = [f"        {text}".rstrip() for text in lines]
    texts[0] = f'        """{texts[0].strip()}'
    return [f'{texts[0]}"""'] if len(texts) == 1 else [*texts, '        """']


def _one_line(parameter: Parameter) -> str:
    said = " ".join(shortened(parameter.description, DOC_CHARACTERS).split())
    default = "" if parameter.required or not parameter.default else f"default: {shortened(parameter.default, 200)}"
    return f"{shortened(parameter.name, 200)}: {'; '.join(filter(None, (said, default)))}".rstrip(": ")


def _quoted(text: str) -> str:
    """Write a text as a string literal, in printable characters."""
    return f'"{_literal(text, newlines=False)}"'


def _literal(text: str, *, newlines: bool = True) -> str:
    """Write a text as it stands between quotes, single or triple."""
    return "".join(_character(character, newlines=newlines) for character in text)


def _character(character: str, *, newlines: bool) -> str:
    if character in '\\"':
        return f"\\{character}"
    if character.isprintable() or (newlines and character == "\n"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


__all__ = ["class_name_of", "signatures", "stub"]
