"""The blocking API has the names, signatures and words of the asyncio API, for it is generated from it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import headrace
from headrace import blocking
from tools import blocking as generator

CLASSES = ["Client", "Model", *generator.STREAMS]
PAIRS = [(name, getattr(headrace, name), getattr(blocking, name)) for name in CLASSES]


def members(cls: type) -> dict[str, Any]:
    """Give the public members of a class, those of its bases too."""
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", generator.MODULES)
def test_the_generated_code_is_up_to_date(name: str) -> None:
    written = (generator.TARGET / f"{name}.py").read_text(encoding="utf-8")
    assert written == generator.written_module(name), "run python tools/blocking.py"


@pytest.mark.parametrize(("name", "original", "generated"), PAIRS, ids=CLASSES)
def test_it_has_the_same_members(name: str, original: type, generated: type) -> None:
    expected = set(members(original)) - {"aclose", *generator.LEFT_OUT} | {"close"}
    expected |= set(generator.ATTRIBUTES.get(name, ()))
    assert set(members(generated)) == expected


def test_the_attributes_of_the_asyncio_objects_are_there() -> None:
    with blocking.Client(base_url="http://127.0.0.1:1") as client:
        model = client.model("u/a/models/m")
        for wrapper in (client, model):
            attributes = {name: value for name, value in vars(wrapper._wrapped).items() if not name.startswith("_")}
            assert set(attributes) == set(generator.ATTRIBUTES[type(wrapper).__name__])
            for name, value in attributes.items():
                assert getattr(wrapper, name) is value
        assert model.client is client


def methods() -> Iterator[Any]:
    for name, original, generated in PAIRS:
        for member in members(generated):
            old = getattr(original, "aclose" if member == "close" else member, None)
            if callable(old):
                yield pytest.param(f"{name}.{member}", old, getattr(generated, member), id=f"{name}.{member}")
    yield pytest.param("Client", headrace.Client, blocking.Client, id="Client")
    yield pytest.param("Model", headrace.Model, blocking.Model, id="Model")


@pytest.mark.parametrize(("name", "original", "generated"), list(methods()))
def test_its_signatures_are_the_same(name: str, original: Any, generated: Any) -> None:
    old, new = inspect.signature(original), inspect.signature(generated)
    public = [parameter for parameter in old.parameters.values() if not parameter.name.startswith("_")]
    assert [(p.name, p.kind, repr(p.default), p.annotation) for p in new.parameters.values()] == [
        (p.name, p.kind, repr(p.default), p.annotation) for p in public
    ]
    assert new.return_annotation == generator.RETURNS.get(name, old.return_annotation)


def test_its_words_are_those_of_code_without_async() -> None:
    for _, original, generated in PAIRS:
        for member, value in [("", generated), *members(generated).items()]:
            text = inspect.getdoc(getattr(generated, member) if member else value)
            assert text, member
            assert not re.search(r"await|async for|async with|(another|two) tasks?|event loop", text), text
            if original is headrace.Model and member == "predict":
                assert text == inspect.getdoc(original.predict)


def test_what_the_tables_of_the_generator_say_is_needed() -> None:
    words = "".join(
        inspect.getdoc(value) or ""
        for _, original, _ in PAIRS
        for value in [original, *(getattr(original, member) for member in members(original))]
    )
    hint = inspect.getsource(headrace.Model)
    for pattern, _ in generator.WORDS:
        assert re.search(pattern, words) or re.search(pattern, hint), pattern
    known = {name for name, *_ in PAIRS} | {
        f"{name}.{member}" for name, _, generated in PAIRS for member in {*members(generated), "__init__"}
    }
    for table in (generator.DOCSTRINGS, generator.RETURNS, generator.BODIES, generator.PASSED):
        assert set(table) <= known


def test_a_method_of_an_unknown_kind_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(generator.BODIES, "Client.model")
    with pytest.raises(SystemExit, match=r"Client\.model is neither async nor a stream"):
        generator.written_module("client")
