"""Captions and answers made of what several models see; classes chosen by the language model."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from headrace.server.model import Item, ModelError, OutputConfig
from headrace.server.models import faces
from headrace.server.models._facts import Facts
from headrace.server.models._llama import SMOLLM2
from headrace.server.models.answerer import Answerer, told
from headrace.server.models.caption import Caption
from headrace.server.models.llm_classifier import PromptClassifier, parse


@pytest.fixture(scope="module")
def caption(fetched: Callable[[str], Path]) -> Caption:
    fetched(faces.WEIGHTS)
    model = Caption()
    model.load()
    return model


@pytest.fixture(scope="module")
def answerer(caption: Caption, fetched: Callable[[str], Path]) -> Answerer:
    fetched(SMOLLM2)
    model = Answerer()
    model.load()
    return model


@pytest.fixture(scope="module")
def chooser(fetched: Callable[[str], Path]) -> PromptClassifier:
    fetched(SMOLLM2)
    model = PromptClassifier()
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


def test_the_language_model_is_told_the_facts() -> None:
    lines = told(Facts("espresso", 0.9, {"cup": 1}, ("Hello", "there"))).splitlines()
    assert lines[1:] == [
        "Main subject: espresso.",
        "Objects found: cup (1).",
        "Text in the picture: Hello / there",
    ]
    assert told(Facts(None, 0.0, {}, ())).endswith("Nothing was recognised.")


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "question", "word"),
    [("coffee", "What drink is this?", "espresso"), ("cat", "What animal is this?", "cat")],
)
def test_questions_about_the_subject_are_answered(
    answerer: Answerer, photo: Callable[[str], bytes], name: str, question: str, word: str
) -> None:
    answer = answerer.predict(Item(image=photo(name), text=question))
    assert word in answer.data.text.raw
    assert answer.prompt_tokens > 30
    assert 0 < answer.completion_tokens <= 40


@pytest.mark.models
def test_answers_come_piece_by_piece_as_the_parameters_say(answerer: Answerer, photo: Callable[[str], bytes]) -> None:
    item = Item(image=photo("coffee"), text="What is it?", params={"max_tokens": 5, "temperature": None})
    pieces = list(answerer.generate(item))
    assert pieces[-1].completion_tokens == 5
    assert "".join(piece.data.text.raw for piece in pieces) == answerer.predict(item).data.text.raw


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
    assert sum(concept.value for concept in data.concepts) == pytest.approx(1)


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
