"""Generate `headrace.blocking` from the asyncio API, or check that it is up to date.

    python tools/blocking.py            write src/headrace/blocking/{client,model,forms,streams}.py
    python tools/blocking.py --check    compare only; exit status 1 when a file differs

Signatures and docstrings are those of the asyncio classes. What needs other words or another body than the rule says
stands in a table here, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "headrace"
TARGET = SOURCE / "blocking"

#: What is generated: module -> its docstring, and class -> the module of the asyncio class.
MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "client": ("The client for code without async.", {"Client": "client"}),
    "model": ("A model and its calls for code without async.", {"Model": "model"}),
    "forms": ("The methods of a model by the form of its inputs, for code without async.", {"Forms": "forms"}),
    "streams": (
        "Streams that are read with `for`.",
        {
            "TokenStream": "calls.generate.stream",
            "PredictionStream": "calls.streams",
            "FrameStream": "frames.stream",
            "MethodCall": "methods.call",
        },
    ),
}
STREAMS = tuple(MODULES["streams"][1])

#: Left out: how the asyncio API works; names of the official package that say "async"; `close` is made of `aclose`.
LEFT_OUT = {"close", "async_predict", "async_generate", "async_stream", "either"}

#: Attributes that the asyncio constructors set, which are properties here: class -> name -> (type, docstring).
ATTRIBUTES = {
    "Client": {
        "timeouts": ("Timeouts", "All timeouts."),
        "limits": ("Limits", "Sizes, rates and connections."),
    },
    "Model": {"ref": ("ModelRef", "Which model it is.")},
}

#: How the words of a docstring change, in this order.
WORDS = (
    (r"An asyncio client", "A client"),
    (r"`async with` \(leaving", "`with` (leaving"),
    (r"`async with` or `await close\(\)`", "`with` or `close()`"),
    (r"`async for` over it", "`for` over it"),
    (r"`async (for|with)\b", r"`\1"),
    (r"`await stream\.text\(\)`", "`stream.text()`"),
    (r"an async context manager", "a context manager"),
    (r"an async iterator, (any iterator(?: \(pulled in a thread of its own\))?)", r"\1, an async iterator"),
    (r"await model\.methods", "model.methods"),
    (r"two tasks", "two threads"),
    (r"another task", "another thread"),
    (r"without blocking the loop, ", ""),
    (r"when awaited or read", "when called or read"),
    (r", synchronously\b", ", in headrace's own thread: make no calls there"),
    (r" Idempotent, shielded\.", " Idempotent."),
)  # fmt: skip

#: Docstrings that no change of words can give, and why.
DOCSTRINGS = {
    # It starts its server at once: nothing is awaited, so nothing has to be entered for it.
    "Client.local": """Make a client with an embedded server of its own: a child process on a private socket file.

        The server is started here, and ended by `close`, by leaving a `with` block, or with the program. It never
        gets a credential. Needs the `local` extra, or `server` with those of its parts `llm`, `speech` and `ocr`
        whose models are used.

        Args:
            models: ids of the built-in models to serve; None: all. Each is loaded on first use.
            serve: the user's own model classes, as "path/to/module.py:Class".
            transport: as of `Client`; the server is not started if a tape is replayed, or a double answers.

        Raises:
            ConnectFailed: the server did not start; the message has its last lines.
        """,
    # There is no `await` that could be left to the user: the call is made, whatever its shape is.
    "Model.call": """Call a method by name with typed arguments; what it gives is the answer, or a stream of answers.

        A method that gives a stream gives a `MethodCall`, which is read with `for`. A streamed argument may be any
        iterator, an async iterator, or a list. `timeout=` and `metadata=` are those of `predict`, `generate` and
        `stream`, unless the method has an argument of that name.

        Raises:
            ConfigError: no such method, or wrong arguments; the message has the signature.
        """,
    "MethodCall": """The answers of a method that gives a stream of them: read it with `for`.

    `with` closes it early. `model.call(...)` gives one; nothing is sent before it is entered or read.
    """,
}

#: Return types of methods whose result is another one here.
RETURNS = {"Model.call": "Any"}

#: Bodies that are not "call the same method in the loop, and wait"; {arguments} are those of the method.
BODIES = {
    "Client.__init__": """
        self._wrapped = AsyncClient({arguments})
        self._opened = open_until_closed(self, self._wrapped)
    """,
    "Client.local": """
        client = cls._around(AsyncClient.local({arguments}))
        client._opened = open_until_closed(client, client._wrapped)
        run(client._wrapped.__aenter__)
        return client
    """,
    "Client.with_options": """
        client = self._around(apply(self._wrapped.with_options, {arguments}))
        client._parent = self
        return client
    """,
    "Client.model": "return Model._around(self._wrapped.model({arguments}), self)",
    "Client.default_model": "return Model._around(run(self._wrapped.default_model, {arguments}), self)",
    "Client.target": "return self._wrapped.target",
    "Client.close": """
        if self._opened is not None:
            close(self._opened, lambda: run(self._wrapped.aclose))
    """,
    "Model.__init__": """
        self._owned = client is None
        if client is None:
            from headrace.blocking.client import Client

            check_names(client_options, CLIENT_OPTIONS)
            client, client_options = Client(**client_options), {{}}
        self._client = client
        self._wrapped = AsyncModel({arguments})
    """,
    "Model.id": "return self._wrapped.id",
    "Model.client": "return self._client",
    "Model.generate": """
        stream: TokenStream = readable(apply(self._wrapped.generate, {arguments}), self)
        return stream
    """,
    "Model.call": "return readable(run(self._wrapped.call({arguments}).either), self)",
    "Model.close": """
        if self._owned:
            self._client.close()
    """,
}

#: Arguments that are passed on as something else.
PASSED = {"Model.__init__": {"client": "client._wrapped"}}

#: What a class has besides.
EXTRA = {
    "Client": """
    _wrapped: AsyncClient
    _opened: Opened | None = None  # closes it; None where it shares the connections of its parent
    _parent: Client | None = None

    @classmethod
    def _around(cls, wrapped: AsyncClient) -> Client:
        client = object.__new__(cls)
        client._wrapped = wrapped
        return client
    """,
    "Model": """
    _wrapped: AsyncModel
    _client: Client
    _owned: bool

    @classmethod
    def _around(cls, wrapped: AsyncModel, client: Client) -> Model:
        model = object.__new__(cls)
        model._wrapped, model._client, model._owned = wrapped, client, False
        return model
    """,
    "Forms": """
    _wrapped: AsyncModel
    """,
    "TokenStream": """
    _wrapped: AsyncTokenStream
    """,
    "PredictionStream": """
    _wrapped: AsyncPredictionStream
    """,
    "FrameStream": """
    _wrapped: AsyncFrameStream
    """,
    "MethodCall": """
    _wrapped: AsyncMethodCall
    """,
}

#: What bodies use: name -> where it comes from.
HELPERS = {
    "AsyncClient": "headrace.client:Client",
    "AsyncFrameStream": "?headrace.frames.stream:FrameStream",
    "AsyncMethodCall": "?headrace.methods.call:MethodCall",
    "AsyncModel": "headrace.model:Model",
    "AsyncPredictionStream": "headrace.calls.streams:PredictionStream",
    "AsyncTokenStream": "headrace.calls.generate.stream:TokenStream",
    "CLIENT_OPTIONS": "headrace.calls.options:CLIENT_OPTIONS",
    "Client": "?headrace.blocking.client:Client",
    "Closing": "headrace.blocking.base:Closing",
    "Forms": "headrace.blocking.forms:Forms",
    "FrameStream": "headrace.blocking.streams:FrameStream",
    "Model": "headrace.blocking.model:Model",
    "PredictionStream": "headrace.blocking.streams:PredictionStream",
    "Stream": "headrace.blocking.base:Stream",
    "TokenStream": "headrace.blocking.streams:TokenStream",
    "Wrapper": "headrace.blocking.base:Wrapper",
    "apply": "headrace.blocking.call:apply",
    "check_names": "headrace.calls.options:check_names",
    "close": "headrace.blocking.thread:close",
    "Opened": "headrace.blocking.thread:Opened",
    "open_until_closed": "headrace.blocking.thread:open_until_closed",
    "peek": "headrace.blocking.call:peek",
    "run": "headrace.blocking.call:run",
    "readable": "headrace.blocking.wrapping:readable",
}

HEADER = '''"""{title}

Generated by tools/blocking.py from the asyncio classes: edit those.
"""

from __future__ import annotations

{imports}
'''


@dataclass
class Module:
    """A module of the asyncio API: its classes, and where its names come from."""

    name: str
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # name -> "module:name", with "?" where only checkers import it

    @classmethod
    def read(cls, name: str) -> Module:
        """Read it from its file."""
        path = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
        module = cls(name)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                module.classes[node.name] = node
            if isinstance(node, ast.Import):
                module.names |= {alias.name: f"{alias.name}:" for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module._imported(node, "")
            elif isinstance(node, ast.If):
                for inner in node.body:
                    if isinstance(inner, ast.ImportFrom):
                        module._imported(inner, "?")
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef):
                targets = node.targets if isinstance(node, ast.Assign) else [node]
                for target in targets:
                    defined = target.name if isinstance(target, ast.ClassDef) else ast.unparse(target).split(":")[0]
                    module.names.setdefault(defined, f"headrace.{name}:{defined}")
        return module

    def _imported(self, node: ast.ImportFrom, mark: str) -> None:
        for alias in node.names:
            self.names[alias.asname or alias.name] = f"{mark}{node.module}:{alias.name}"


def changed_words(text: str) -> str:
    """Give a docstring the words of code without async."""
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text


def method(cls: ast.ClassDef, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Write one method of a blocking class."""
    name = "close" if node.name == "aclose" else node.name
    key = f"{cls.name}.{name}"
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    returns = RETURNS.get(key) or ast.unparse(node.returns or ast.Constant(None))
    doc = DOCSTRINGS.get(key) or changed_words(ast.get_docstring(node, clean=False) or "")
    public = without_private(node.args)
    arguments = ", ".join(forwarded(public, PASSED.get(key, {})))
    if key in BODIES:
        body = inspect.cleandoc(BODIES[key].format(arguments=arguments))
    elif "property" in decorators:
        body = f"return peek(lambda: self._wrapped.{name})"
    elif returns in STREAMS:
        body = f"return {returns}._open({', '.join(filter(None, ('self', f'self._wrapped.{node.name}', arguments)))})"
    elif isinstance(node, ast.AsyncFunctionDef):
        answer = f"run({', '.join(filter(None, (f'self._wrapped.{node.name}', arguments)))})"
        body = answer if returns == "None" else f"return {answer}"
    else:
        raise SystemExit(f"{key} is neither async nor a stream: say in BODIES what it does")
    lines = [f"@{decorator}" for decorator in decorators if not decorator.startswith("abstract")]
    lines.append(f"def {name}({ast.unparse(public)}) -> {returns}:")
    if doc:
        lines.append(f'    """{doc}"""')
    return "\n".join([*lines, textwrap.indent(body, "    ")])


def without_private(arguments: ast.arguments) -> ast.arguments:
    """Leave out arguments that are not for users."""
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    public = [(one, default) for one, default in pairs if not one.arg.startswith("_")]
    return ast.arguments(
        posonlyargs=arguments.posonlyargs,
        args=arguments.args,
        vararg=arguments.vararg,
        kwonlyargs=[one for one, _ in public],
        kw_defaults=[default for _, default in public],
        kwarg=arguments.kwarg,
        defaults=arguments.defaults,
    )


def forwarded(arguments: ast.arguments, passed: dict[str, str]) -> Iterator[str]:
    """Write the arguments of a method as they are passed on."""
    for one in [*arguments.posonlyargs, *arguments.args]:
        if one.arg not in ("self", "cls"):
            yield passed.get(one.arg, one.arg)
    if arguments.vararg is not None:
        yield f"*{arguments.vararg.arg}"
    for one in arguments.kwonlyargs:
        yield f"{one.arg}={passed.get(one.arg, one.arg)}"
    if arguments.kwarg is not None:
        yield f"**{arguments.kwarg.arg}"


def public_methods(cls: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give the methods that a blocking class has too."""
    for node in cls.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name in LEFT_OUT:
            continue
        abstract = any(ast.unparse(decorator).startswith("abstract") for decorator in node.decorator_list)
        constructor = node.name == "__init__" and cls.name not in STREAMS
        closes_stream = node.name == "aclose" and cls.name in STREAMS  # their base does
        if constructor or not (node.name.startswith("_") or abstract or closes_stream):
            yield node


def bases(cls: ast.ClassDef) -> str:
    """Give the bases of a blocking class."""
    if cls.name in STREAMS:
        (item,) = [node for node in cls.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "__anext__"]
        return f"Stream[{ast.unparse(item.returns or ast.Constant(None))}]"
    return {"Client": "Closing", "Model": "Forms, Closing", "Forms": "Wrapper"}[cls.name]


def attributes(cls: ast.ClassDef) -> Iterator[str]:
    """Write the properties that stand for the attributes of the asyncio class."""
    for name, (type_, doc) in ATTRIBUTES.get(cls.name, {}).items():
        yield f'@property\ndef {name}(self) -> {type_}:\n    """{doc}"""\n    return self._wrapped.{name}'


def written_class(cls: ast.ClassDef) -> str:
    """Write a blocking class."""
    doc = DOCSTRINGS.get(cls.name) or changed_words(ast.get_docstring(cls, clean=False) or "")
    methods = [method(cls, node) for node in public_methods(cls)]
    first = [one for one in methods if one.startswith("def __init__")]
    others = [one for one in methods if one not in first]
    hint = [ast.unparse(node) for node in cls.body if isinstance(node, ast.If) and "__getattr__" in ast.unparse(node)]
    fields, _, maker = inspect.cleandoc(EXTRA.get(cls.name, "")).partition("\n\n")
    parts = [fields, *first, maker, *attributes(cls), *others, *map(changed_words, hint)]
    body = textwrap.indent("\n\n".join(filter(None, parts)), "    ")
    return f'class {cls.name}({bases(cls)}):\n    """{doc}"""\n\n{body}\n'


def names_used(text: str) -> set[str]:
    """Give the names that code uses, those in annotations that are strings too."""
    used: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            used.add(node.id)
    return used


def written_module(name: str) -> str:
    """Write a module of `headrace.blocking`."""
    title, classes = MODULES[name]
    sources = {cls: Module.read(module) for cls, module in classes.items()}
    text = "\n\n".join(written_class(source.classes[cls]) for cls, source in sources.items())
    origins: dict[str, str] = {}
    for source in sources.values():
        origins |= source.names
    origins |= HELPERS
    at_run: list[str] = []
    for_types: list[str] = []
    for_others: list[str] = []
    for used in sorted(names_used(text) - set(classes)):
        if used in origins:
            module, original = origins[used].split(":")
            alias = "" if original == used else f" as {used}"
            line = f"from {module.lstrip('?')} import {original}{alias}" if original else f"import {module}"
            (for_types if module.startswith("?") else at_run).append(line)
            if module.startswith("?"):
                for_others.append(f'{used} = later("{module.lstrip("?")}", "{original}")')
    if for_types or "TYPE_CHECKING" in text:
        at_run.append("from typing import TYPE_CHECKING")
    if for_types:
        at_run.append("from headrace.support.later import later")
        for_types = ["if TYPE_CHECKING:", *(f"    {line}" for line in for_types)]
        for_types += ["else:", *(f"    {line}" for line in for_others)]
    header = HEADER.format(title=title, imports="\n".join([*at_run, *for_types]))
    exported = ", ".join(f'"{cls}"' for cls in sorted(classes))
    return formatted(f"{header}\n\n{text}\n\n__all__ = [{exported}]\n")


def formatted(text: str) -> str:
    """Format code, and sort its imports, as all of the package is."""
    ruff = [sys.executable, "-m", "ruff"]
    stdin = ["--stdin-filename", str(TARGET / "client.py"), "-"]
    for command in (["check", "--quiet", "--select=I", "--fix"], ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *command, *stdin], input=text, capture_output=True, text=True, cwd=ROOT, check=True
        )
        text = done.stdout
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate headrace.blocking from the asyncio API.")
    parser.add_argument("--check", action="store_true", help="compare only; exit status 1 when a file differs")
    check: bool = parser.parse_args().check
    differing = []
    for name in MODULES:
        path, text = TARGET / f"{name}.py", written_module(name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in differing:
        print(f"{path} {'differs: run python tools/blocking.py' if check else 'written'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
