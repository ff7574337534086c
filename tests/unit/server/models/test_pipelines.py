"""Captions and answers made of what several models see; classes chosen by the language model."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from headrace.server import weights
from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models import answerer as answerer_module
from headrace.server.models import caption as caption_module
from headrace.server.models import faces
from headrace.server.models._facts import Facts, Observer
from headrace.server.models._llama import QWEN, SMOLLM2
from headrace.server.models._questions import CANNOT_SEE, answer
from headrace.server.models.answerer import Answerer, described
from headrace.server.models.caption import Caption
from headrace.server.models.llm_classifier import PromptClassifier, parse


class Remembering(Observer):
    """Looks at a picture once, however many tests ask about it: five networks go through it."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, Facts] = {}

    def look(self, image: Image.Image) -> Facts:
        pixels = image.tobytes()
        if pixels not in self._known:
            self._known[pixels] = super().look(image)
        return self._known[pixels]


@pytest.fixture(scope="module", autouse=True)
def _looking_once() -> Iterator[None]:
    observer = functools.cache(Remembering)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_module, "Observer", observer)
        patch.setattr(answerer_module, "Observer", observer)
        yield


@pytest.fixture(scope="module")
def caption(fetched: Callable[[str], Path]) -> Caption:
    fetched(faces.WEIGHTS)
    model = Caption()
    model.load()
    return model


@pytest.fixture(scope="module")
def answerer(caption: Caption) -> Answerer:
    """One without the large language model, be it in the cache or not."""
    model = Answerer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "at_hand", lambda _: False)
        model.load()
    return model


@pytest.fixture(scope="module")
def fluent(caption: Caption, cached: Callable[[str], Path]) -> Answerer:
    """One with the large language model."""
    cached(QWEN)
    model = Answerer()
    model.load()
    return model


@pytest.fixture(scope="module")
def large_chooser(cached: Callable[[str], Path]) -> PromptClassifier:
    cached(QWEN)
    model = PromptClassifier()
    model.load()
    return model


@pytest.fixture(scope="module")
def chooser(fetched: Callable[[str], Path]) -> PromptClassifier:
    fetched(SMOLLM2)
    model = PromptClassifier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "choose", lambda _: SMOLLM2)
        model.load()
    return model


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("coffee", "A picture of an espresso, with a cup."),
        ("cat", "A picture, probably of a tiger cat."),
        ("astronaut", "A picture of a person."),
        ("photographer", "A picture of a tripod, with a person."),
        ("clock", "A picture; no model here knows what it shows."),
    ],
)
def test_a_caption_lists_what_is_there(
    caption: Caption, photo: Callable[[str], bytes], name: str, sentence: str
) -> None:
    assert caption.predict(Item(image=photo(name))).data.text.raw == sentence


@pytest.mark.models
def test_a_caption_quotes_the_text(caption: Caption) -> None:
    sign = Image.new("RGB", (600, 200), "white")
    ImageDraw.Draw(sign).text((40, 60), "Open on Sunday", "black", ImageFont.load_default(48))
    target = io.BytesIO()
    sign.save(target, "PNG")
    assert "“Open on Sunday”" in caption.predict(Item(image=target.getvalue())).data.text.raw


def test_sentences_count_and_join() -> None:
    assert Facts(None, 0.1, {"person": 2, "bus": 1, "dog": 11}, ()).sentence() == (
        "A picture of two people, a bus and 11 dogs."
    )
    assert Facts("orange", 0.7, {"orange": 1, "knife": 2}, ("x" * 300,)).sentence() == (
        f"A picture of an orange, with two knives. It says: “{'x' * 200}…”"
    )


def test_the_language_model_gets_the_facts() -> None:
    lines = described(Facts("espresso", 0.9, {"cup": 1}, ("Hello", "there"))).splitlines()
    assert lines[1:] == [
        "Main subject: espresso.",
        "Objects found: cup (1).",
        "Text in the picture: Hello / there",
    ]
    assert described(Facts(None, 0.0, {}, ())).endswith("Nothing was recognised.")


FACTS = {
    "coffee": Facts("espresso", 0.95, {"cup": 1}, ()),
    "cat": Facts("tiger cat", 0.39, {}, ()),
    "pets": Facts(None, 0.1, {"cat": 2, "dog": 1}, ()),
    "person": Facts(None, 0.1, {"person": 1}, ()),
    "table": Facts("plate", 0.5, {"diningtable": 1, "motorbike": 2}, ()),
    "bill": Facts(None, 0.1, {}, ("INVOICE 17", "Coffee 3.50", "Total", "164.60 EUR")),
}


@pytest.mark.parametrize(
    ("about", "question", "said"),
    [
        ("cat", "How many cats?", "I see one cat."),
        ("pets", "How many cats are there?", "I see two cats."),
        ("pets", "how many animals do you see", "I see three animals."),
        ("person", "How many people are in this picture?", "I see one person."),
        ("coffee", "How many dogs?", "I see no dogs."),
        ("table", "What is the number of motorcycles?", "I see two motorbikes."),
        ("cat", "How many legs does the cat have?", CANNOT_SEE),
        ("pets", "How many black cats?", CANNOT_SEE),
        ("pets", "How many cats and dogs?", CANNOT_SEE),
        ("person", "How many women?", CANNOT_SEE),
        ("coffee", "Is there a cup?", "Yes, I see a cup."),
        ("coffee", "Is there a mug on it?", "Yes, I see a cup."),
        ("coffee", "Is this espresso?", "Yes, I see an espresso."),
        ("coffee", "Is there a dog?", "No, I see no dogs."),
        ("cat", "Are there any cats?", "Yes, I see a tiger cat."),
        ("pets", "Are there two cats?", "Yes, I see two cats."),
        ("pets", "Are there three cats?", "No, I see two cats."),
        ("table", "Is there a vehicle?", "Yes, I see two motorbikes."),
        ("table", "Do you see a table?", "Yes, I see a dining table."),
        ("table", "Is there a person?", "No, I see no people."),
        ("person", "Is there a woman?", CANNOT_SEE),
        ("cat", "Is the cat sleeping?", CANNOT_SEE),
        ("cat", "Is it raining?", CANNOT_SEE),
        ("coffee", "What drink is this?", "I see an espresso and a cup."),
        ("coffee", "What is in the picture?", "I see an espresso and a cup."),
        ("coffee", "Describe this photo.", "I see an espresso and a cup."),
        ("cat", "What kind of animal is it?", "I see a tiger cat."),
        ("pets", "Which animals are there?", "I see two cats and a dog."),
        ("coffee", "What animal is this?", CANNOT_SEE),
        ("person", "What colour is the suit?", CANNOT_SEE),
        ("cat", "Where was this taken?", CANNOT_SEE),
        ("cat", "How old is the cat?", CANNOT_SEE),
        ("person", "Who is this?", CANNOT_SEE),
        ("bill", "What does it say?", "It says: “INVOICE 17 / Coffee 3.50 / Total / 164.60 EUR”"),
        ("cat", "What is written there?", "I can read no text in it."),
        ("bill", "What is the total amount?", "It says: “Total 164.60 EUR”"),
        ("bill", "How much do I have to pay?", "It says: “Total 164.60 EUR”"),
        ("cat", "What could it be used for?", None),
    ],
)
def test_what_facts_can_say_is_answered_by_rule(about: str, question: str, said: str | None) -> None:
    assert answer(question, FACTS[about]) == said


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("coffee", "What drink is this?", "I see an espresso and a cup."),
        ("cat", "How many cats are there?", "I see one cat."),
        ("astronaut", "Is there a person?", "Yes, I see a person."),
        ("astronaut", "What colour is the suit?", CANNOT_SEE),
    ],
)
def test_questions_about_photos_are_answered(
    answerer: Answerer, photo: Callable[[str], bytes], name: str, question: str, said: str
) -> None:
    made = answerer.predict(Item(image=photo(name), text=question))
    assert made.data.text.raw == said
    assert made.data.metadata["answered_by"] == "rules"
    pieces = list(answerer.generate(Item(image=photo(name), text=question)))
    assert "".join(piece.data.text.raw for piece in pieces) == said
    assert len(pieces) == len(said.split()) + 1


@pytest.mark.models
def test_other_questions_go_to_the_language_model_where_it_is(fluent: Answerer, photo: Callable[[str], bytes]) -> None:
    item = Item(image=photo("coffee"), text="Name one ingredient of the drink.", params={"max_tokens": 12})
    made = fluent.predict(item)
    assert made.data.metadata["answered_by"] == QWEN
    assert made.prompt_tokens > 30
    assert 0 < made.completion_tokens <= 12


@pytest.mark.models
def test_without_it_other_questions_are_not_guessed_at(answerer: Answerer, photo: Callable[[str], bytes]) -> None:
    made = answerer.predict(Item(image=photo("coffee"), text="Name one ingredient of the drink."))
    assert (made.data.text.raw, made.completion_tokens) == (CANNOT_SEE, 0)


@pytest.mark.models
def test_picture_and_question_are_both_needed(answerer: Answerer, photo: Callable[[str], bytes]) -> None:
    for item in (Item(image=photo("cat")), Item(text="What is it?")):
        with pytest.raises(ModelError) as caught:
            answerer.predict(item)
        assert caught.value.code == 30104


@pytest.mark.models
@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Classes: ['positive', 'negative', 'neutral', 'mixed']; Sentence: Sunny weather makes me happy.", "positive"),
        ("Text: The food was cold and the waiter was rude.\nClasses: positive, negative", "negative"),
        ("Classes: sports, politics, food; Text: Simmer the soup and add some basil.", "food"),
        ("Classes: sports, politics, food; Text: Parliament passed the new tax law.", "politics"),
        ("Classes: [spam, not spam]; Text: Can we move our meeting to 3 pm?", "not spam"),
    ],
)
def test_the_class_that_fits_is_chosen(chooser: PromptClassifier, prompt: str, expected: str) -> None:
    assert chooser.predict(Item(text=prompt)).data.text.raw == expected
    data = chooser.predict(Item(text=prompt, params={"scores": True})).data
    assert data.text.raw == data.concepts[0].name == expected
    assert data.metadata["answered_by"] == SMOLLM2
    assert sum(concept.value for concept in data.concepts) == pytest.approx(1)


EASY_TEXTS = [
    ("positive, negative", "I love this phone", "positive"),
    ("positive, negative", "The food was cold and the waiter was rude.", "negative"),
    ("sports, politics, food", "Simmer the soup and add some basil.", "food"),
    ("sports, politics, food", "Parliament passed the new tax law.", "politics"),
    ("sports, politics, food", "She scored twice in the second half.", "sports"),
    ("question, statement", "Where is the station?", "question"),
    ("billing, technical, shipping", "The app crashes when I log in.", "technical"),
    ("billing, technical, shipping", "I was charged twice this month.", "billing"),
    ("English, French, German", "Guten Morgen, wie geht es dir?", "German"),
    ("about food, about sports", "Simmer the soup and add some basil.", "about food"),
    ("urgent, not urgent", "The server is on fire, help!", "urgent"),
    ("urgent, not urgent", "No hurry, whenever you have time.", "not urgent"),
]


@pytest.mark.models
def test_the_large_model_sorts_nearly_all_easy_texts(large_chooser: PromptClassifier) -> None:
    wrong = []
    for classes, text, expected in EASY_TEXTS:
        data = large_chooser.predict(Item(text=f"Classes: {classes}; Text: {text}")).data
        assert data.metadata["answered_by"] == QWEN
        wrong += [text] if data.text.raw != expected else []
    assert len(wrong) <= 1, wrong


@pytest.mark.models
def test_classes_that_begin_alike_are_told_apart(chooser: PromptClassifier) -> None:
    prompt = "Classes: about food, about sports; Text: Simmer the soup and add some basil."
    data = chooser.predict(Item(text=prompt, params={"scores": True}, config=OutputConfig(max_concepts=1))).data
    assert [concept.name for concept in data.concepts] == ["about food"]
    assert data.concepts[0].value > 0.6


@pytest.mark.parametrize(
    ("prompt", "params", "text", "classes"),
    [
        ("Classes: [a, 'b']; Text: hello", {}, "hello", ("a", "b")),
        ("classes: a, b or c\nInput: hello; world", {}, "hello; world", ("a", "b", "c")),
        ("Hello there.\nCategories: a, a, b.", {}, "Hello there.", ("a", "b")),
        ("Classes: not mine", {"classes": ["x y", "z"]}, "Classes: not mine", ("x y", "z")),
    ],
)
def test_prompts_are_taken_apart(prompt: str, params: dict[str, object], text: str, classes: tuple[str, ...]) -> None:
    assert parse(Item(text=prompt, params=params)) == (text, classes)


@pytest.mark.parametrize(
    ("prompt", "params", "code"),
    [
        ("", {}, 30104),
        ("no classes here", {}, 30104),
        ("Classes: only one; Text: hello", {}, 30104),
        ("Classes: a, b", {}, 30104),
        ("hello", {"classes": "a, b"}, 11102),
        ("hello", {"classes": [str(i) for i in range(51)]}, 30104),
    ],
)
def test_prompts_that_lack_something_are_refused(prompt: str, params: dict[str, object], code: int) -> None:
    with pytest.raises(ModelError) as caught:
        parse(Item(text=prompt, params=params))
    assert caught.value.code == code
