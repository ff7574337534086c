"""The image classifier on photos: what is on them, and the output configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models.classifier import Classifier


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    model = Classifier()
    model.load()
    return model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", {"tabby", "tiger cat", "Egyptian cat"}),
        ("coffee", {"espresso"}),
        ("photographer", {"tripod"}),
        ("rocket", {"missile"}),
    ],
)
def test_it_names_the_subject(
    classifier: Classifier, photo: Callable[[str], bytes], name: str, expected: set[str]
) -> None:
    concepts = classifier.predict(Item(image=photo(name))).data.concepts
    assert concepts[0].name in expected
    values = [concept.value for concept in concepts]
    assert values == sorted(values, reverse=True)
    assert len(values) == 20
    assert 0 < sum(values) <= 1.0001


def test_a_cat_is_a_cat_by_far(classifier: Classifier, photo: Callable[[str], bytes]) -> None:
    concepts = classifier.predict(Item(image=photo("cat"))).data.concepts
    cats = sum(c.value for c in concepts if c.name in {"tabby", "tiger cat", "Egyptian cat", "Persian cat", "lynx"})
    assert cats > 0.9


# what the float original gives for the scikit-image originals of these photos (tools/convert_efficientnet.py prints it)
@pytest.mark.parametrize(
    ("name", "concept", "value"), [("coffee", "espresso", 0.951), ("photographer", "tripod", 0.937)]
)
def test_it_is_as_sure_as_the_original(
    classifier: Classifier, photo: Callable[[str], bytes], name: str, concept: str, value: float
) -> None:
    best = classifier.predict(Item(image=photo(name))).data.concepts[0]
    assert best.name == concept
    assert best.value == pytest.approx(value, abs=0.015)


def test_the_probabilities_of_all_classes_add_up_to_one(classifier: Classifier, photo: Callable[[str], bytes]) -> None:
    answer = classifier.predict(Item(image=photo("clock"), config=OutputConfig(max_concepts=1000)))
    assert sum(concept.value for concept in answer.data.concepts) == pytest.approx(1, abs=1e-3)
    assert len({concept.id for concept in answer.data.concepts}) == 1000


def test_the_output_configuration_is_honoured(classifier: Classifier, photo: Callable[[str], bytes]) -> None:
    def names(config: OutputConfig) -> list[str]:
        return [c.name for c in classifier.predict(Item(image=photo("coffee"), config=config)).data.concepts]

    assert names(OutputConfig(max_concepts=3))[0] == "espresso"
    assert len(names(OutputConfig(max_concepts=3))) == 3
    assert names(OutputConfig(min_value=0.5)) == ["espresso"]
    assert names(OutputConfig(select_concepts=("cup", "tabby"))) == ["cup", "tabby"]


def test_broken_bytes_are_an_error(classifier: Classifier, photo: Callable[[str], bytes]) -> None:
    with pytest.raises(ModelError) as caught:
        classifier.predict(Item(image=photo("cat")[:5000]))
    assert caught.value.code == 30300
