"""How often each model is right on a small fixed set of inputs: the figures of docs/tasks.md, counted anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from headrace.server import packages, weights
from headrace.server.model import Item
from headrace.server.models._data import shipped
from headrace.server.models.classifier import Classifier
from headrace.server.models.detector import Detector
from headrace.server.models.language import Language
from headrace.server.models.llm import LanguageModel, Qwen
from headrace.server.models.llm_classifier import PromptClassifier
from headrace.server.models.nanodet import NanoDetector
from headrace.server.models.ocr import Ocr
from headrace.server.models.salient import SalientObject
from headrace.server.models.speech_to_text import MultilingualSpeechToText, SpeechToText
from headrace.server.models.text_classifier import Sentiment
from headrace.server.models.text_embedder import TextEmbedder

PAGE = Path(__file__).parents[4] / "docs/tasks.md"

#: Sample photo -> what a person would call its main thing, in the words that each model has.
CLASSES = {
    "cat": {"tabby", "tiger cat", "Egyptian cat"},
    "coffee": {"espresso", "cup", "coffee mug"},
    "astronaut": {"space shuttle", "military uniform"},
    "clock": {"analog clock", "wall clock"},
    "photographer": {"tripod"},
    "rocket": {"missile", "projectile"},
}
OBJECTS = {"cat": {"cat"}, "coffee": {"cup"}, "astronaut": {"person"}, "photographer": {"person"}}
CUT_OUT = {**CLASSES, **OBJECTS, "coffee": CLASSES["coffee"]}

QUESTIONS = (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is 17 + 25?", "42"),
    ("What is 6 times 7?", "42"),
    ("How many days are in a week?", "7|seven"),
    ("Which planet is the largest?", "^(?!.*Saturn).*Jupiter"),
    ("Who wrote Hamlet?", "Shakespeare"),
    ("What is the opposite of hot?", "cold"),
    ("What colour do you get when you mix blue and yellow?", "green"),
    ("Is a whale a fish? Answer yes or no.", "^no"),
    ("How many legs does a spider have?", "8|eight"),
    ("Translate 'good morning' into German.", "guten morgen"),
    ("What is the chemical symbol of gold?", r"\bAu\b"),
)
REVIEWS = (
    ("I love this little cafe.", "positive"),
    ("The staff were kind and quick.", "positive"),
    ("Best holiday that we ever had!", "positive"),
    ("It works perfectly, thank you.", "positive"),
    ("What a wonderful surprise.", "positive"),
    ("I would buy it again.", "positive"),
    ("The food was cold and the waiter rude.", "negative"),
    ("It broke after two days.", "negative"),
    ("I want my money back.", "negative"),
    ("Terrible service, never again.", "negative"),
    ("The room was dirty and loud.", "negative"),
    ("Not good at all.", "negative"),
)
SENTENCES = (
    ("Guten Morgen, wie geht es dir?", "de"),
    ("Le train part à neuf heures.", "fr"),
    ("¿Dónde está la estación?", "es"),
    ("Il treno parte alle nove.", "it"),
    ("De trein vertrekt om negen uur.", "nl"),
    ("O comboio parte às nove horas.", "pt"),
    ("Pociąg odjeżdża o dziewiątej.", "pl"),
    ("Tåget går klockan nio.", "sv"),
    ("Поезд отправляется в девять.", "ru"),
    ("電車は九時に出ます。", "ja"),
    ("The train leaves at nine.", "en"),
    ("OK", "en"),
)
NEAR = (
    ("How do I cook lunch?", "Simmer the soup for an hour."),
    ("When does it leave?", "The train to Vienna departs at nine."),
    ("What happened on the stock market?", "Shares fell after the bank raised its interest rate."),
    ("Is my pet asleep?", "A cat dozes on the sofa."),
    ("How is the weather?", "It will rain all afternoon."),
    ("Who won?", "The home team scored twice in the last minute."),
)
RECEIPT = ("River Cafe", "12 Mill Lane, Bath", "2 espresso", "5.60", "1 apple cake", "4.20", "1 orange juice", "3.90",
           "Total", "13.70", "Thank you, see you soon!")  # fmt: skip
SAID = "and mr john dashwood had then leisure to consider how much there might be prudently in his power to do for them"


def score(results: Iterable[bool]) -> str:
    """Count: "3 of 4"."""
    counted = list(results)
    return f"{sum(counted)} of {len(counted)}"


def best(model: Any, item: Item) -> str:
    """Give the name that a model is surest of, "" where it names nothing."""
    data = model.predict(item).data
    things = data.concepts or [region.data.concepts[0] for region in data.regions]
    return things[0].name if things else ""


def of_photos(model: Any, right: Mapping[str, set[str]]) -> str:
    return score(
        best(model, Item(image=shipped(f"samples/photos/{name}.jpg").read_bytes())) in names
        for name, names in right.items()
    )


def of_texts(model: Any, right: Sequence[tuple[str, str]]) -> str:
    return score(best(model, Item(text=text)) == name for text, name in right)


def of_questions(model: Any) -> str:
    params = {"temperature": 0, "max_tokens": 40}
    answers = [
        (model.predict(Item(text=question, params=params)).data.text.raw, right) for question, right in QUESTIONS
    ]
    return score(re.search(right, answer.strip(), re.IGNORECASE | re.DOTALL) is not None for answer, right in answers)


def of_reviews(model: Any) -> str:
    prompts = [(f"Classes: [positive, negative]; Sentence: {text}", name) for text, name in REVIEWS]
    return score(model.predict(Item(text=prompt)).data.text.raw == name for prompt, name in prompts)


def of_near_texts(model: Any) -> str:
    vectors = [model.predict(Item(text=text)).data.embeddings[0].vector for _, text in NEAR]

    def nearest(question: str) -> int:
        vector = model.predict(Item(text=question)).data.embeddings[0].vector
        nearness = [sum(a * b for a, b in zip(vector, other, strict=True)) for other in vectors]
        return nearness.index(max(nearness))

    return score(nearest(question) == position for position, (question, _) in enumerate(NEAR))


def of_lines(model: Any) -> str:
    read = model.predict(Item(image=shipped("samples/pages/receipt.png").read_bytes())).data.text.raw.splitlines()
    return score(line in read for line in RECEIPT)


def of_words(model: Any) -> str:
    recording = shipped("samples/sounds/sense-and-sensibility.wav").read_bytes()
    heard = re.findall(r"[a-z]+", model.predict(Item(audio=recording)).data.text.raw.lower())
    same = SequenceMatcher(None, SAID.split(), heard, autojunk=False).get_matching_blocks()
    return f"{sum(block.size for block in same)} of {len(SAID.split())}"


#: Model -> its class, the weights that it fetches, how it is measured.
MEASURED: dict[str, tuple[Any, tuple[str, ...], Callable[[Any], str]]] = {
    "efficientnet-lite0": (Classifier, (), lambda model: of_photos(model, CLASSES)),
    "nanodet-g": (NanoDetector, (), lambda model: of_photos(model, OBJECTS)),
    "yolov3-tiny": (Detector, (), lambda model: of_photos(model, OBJECTS)),
    "u2netp": (SalientObject, ("mtcnn",), lambda model: of_photos(model, CUT_OUT)),
    "vader-sentiment": (Sentiment, (), lambda model: of_texts(model, REVIEWS)),
    "language-lid176": (Language, (), lambda model: of_texts(model, SENTENCES)),
    "minilm-l6-v2": (TextEmbedder, ("minilm-l6-v2", "minilm-l6-v2-tokenizer"), of_near_texts),
    "pp-ocrv6": (Ocr, (), of_lines),
    "smollm2-135m-instruct": (LanguageModel, ("smollm2-135m-instruct",), of_questions),
    "qwen2.5-coder-1.5b": (Qwen, ("qwen2.5-coder-1.5b",), of_questions),
    "llm-classify": (PromptClassifier, ("smollm2-135m-instruct",), of_reviews),
    "whisper-tiny-en": (SpeechToText, ("whisper-tiny-en",), of_words),
    "whisper-base": (MultilingualSpeechToText, ("whisper-base",), of_words),
}
#: A row of the page's table: a model, what it was tried on, how much was right.
ROW = re.compile(r"^\| `([^`]+)` \| [^|]+ \| (\d+ of \d+) \|$", re.MULTILINE)


def test_the_page_has_a_figure_for_each_model_that_is_measured() -> None:
    assert {model for model, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))} == set(MEASURED)


@pytest.fixture(scope="module", params=MEASURED)
def model(request: pytest.FixtureRequest, fetched: Callable[[str], Path], cached: Callable[[str], Path]) -> Any:
    """Load a model; those of language keep their engine for the life of the process."""
    cls, names, _ = MEASURED[request.param]
    for name in names:
        (fetched if weights.WEIGHTS[name].fetched == "always" else cached)(name)
    if request.param == "llm-classify" and weights.choose("llm") not in names:
        pytest.skip("the figure is that of the small language model")
    if not packages.installed(cls.card.packages):
        pytest.skip("has no build for this Python")
    model = cls()
    model.load()
    return model


@pytest.mark.models
def test_the_figure_of_the_page_is_what_is_measured(model: Any) -> None:
    figures = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    assert MEASURED[model.card.id][2](model) == figures[model.card.id]
