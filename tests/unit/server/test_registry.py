"""Finding model classes and keeping them by id."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.server.loading import LoadError, card_of, find
from headrace.server.model import Card, Item, ModelError
from headrace.server.models import BUILT_IN
from headrace.server.registry import ALIASES, Registry


class HTTPCaller:
    """Calls something.

    And more about it.
    """

    def predict(self, item: Item) -> str:
        return ""


class Echo:
    """Takes the place of the built-in one."""

    def predict(self, item: Item) -> str:
        return ""


def test_a_class_without_a_card_gets_a_plain_one() -> None:
    card = card_of(HTTPCaller)
    assert (card.id, card.title, card.description) == ("httpcaller", "HTTPCaller", "Calls something.")
    assert set(card.input_fields) == {"text", "image", "video", "audio"}


@pytest.mark.parametrize("name", ["", "Upper", "with space", "a/b", "-x"])
def test_an_id_must_fit_into_a_url(name: str) -> None:
    cls = type("M", (), {"card": Card(name, "t", "", "", ("text",), ("text",)), "predict": lambda self, item: ""})
    with pytest.raises(LoadError, match="lower-case"):
        card_of(cls)


def test_a_module_with_several_models_needs_a_name(tmp_path: Path) -> None:
    file = tmp_path / "several.py"
    file.write_text("class A:\n    def predict(self, item): return ''\nclass B(A):\n    pass\nclass C:\n    pass\n")
    with pytest.raises(LoadError, match="models in it: A, B"):
        find(str(file))
    assert find(f"{file}:B").__name__ == "B"
    with pytest.raises(
        LoadError, match=r"No module named 'classifier'.*; for the built-in model .*--models classifier"
    ):
        Registry((), ("classifier",))
    with pytest.raises(LoadError, match=r"No module named 'no_such_module'[^;]*$"):
        Registry((), ("no_such_module",))
    with pytest.raises(LoadError, match="has no class D"):
        find(f"{file}:D")


async def test_users_models_win_over_built_in_ones_of_the_same_id() -> None:
    registry = Registry(["echo"])
    registry.add(Echo)
    assert (await registry.get("echo")).card.description == "Takes the place of the built-in one."
    assert [h.id for h in await registry.all()] == ["echo"]
    with pytest.raises(LoadError, match="has the id echo"):
        registry.add(Echo)


async def test_short_names_lead_to_built_in_models() -> None:
    registry = Registry(["sentiment"])
    assert (await registry.get("sentiment")).id == ALIASES["sentiment"]
    with pytest.raises(ModelError) as caught:
        await registry.get("llm")
    assert caught.value.code == 21200


async def test_a_built_in_model_that_cannot_be_imported_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "missing", "headrace.no_such_module:Class")
    registry = Registry(["missing", "echo"])
    for _ in range(2):
        with pytest.raises(ModelError, match="not usable") as caught:
            await registry.get("missing")
        assert caught.value.code == 21350
    assert [h.id for h in await registry.all()] == ["echo"]
