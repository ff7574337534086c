"""The language model: what it answers, how it streams, stops and reads its parameters."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.server.model import Item, ModelError
from headrace.server.models._llama import QWEN, SMOLLM2
from headrace.server.models.llm import LanguageModel, Qwen, fill, sampling

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def llm(fetched: Callable[[str], Path]) -> LanguageModel:
    fetched(SMOLLM2)
    model = LanguageModel()
    model.load()
    return model


@pytest.fixture(scope="module")
def qwen(cached: Callable[[str], Path]) -> Qwen:
    cached(QWEN)
    model = Qwen()
    model.load()
    return model


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is the capital of Italy?", "Rome"),
        ("What is 17 + 25?", "42"),
        ("Who wrote Hamlet?", "Shakespeare"),
        ("How do you say good morning in Spanish?", "buenos días"),
        ("What is the opposite of hot?", "cold"),
    ],
)
def test_the_large_model_answers_simple_questions(qwen: Qwen, question: str, word: str) -> None:
    assert word.lower() in said(qwen, question, max_tokens=30).lower()


def said(llm: LanguageModel, text: str, **params: object) -> str:
    return llm.predict(Item(text=text, params={"temperature": 0, **params})).data.text.raw


def test_it_knows_a_capital(llm: LanguageModel) -> None:
    answer = llm.predict(Item(text="What is the capital of France?", params={"temperature": 0}))
    assert "Paris" in answer.data.text.raw
    assert answer.prompt_tokens > 10
    assert 0 < answer.completion_tokens < 30


def test_pieces_come_one_by_one_and_make_up_the_answer(llm: LanguageModel) -> None:
    item = Item(text="Write a sentence about the sea.", params={"temperature": 0, "max_tokens": 30})
    pieces = list(llm.generate(item))
    assert len(pieces) > 10
    assert "".join(piece.data.text.raw for piece in pieces) == llm.predict(item).data.text.raw
    assert all(piece.data.text.raw for piece in pieces[:-1])
    assert [piece.completion_tokens for piece in pieces[:-1]] == [0] * (len(pieces) - 1)
    assert pieces[-1].completion_tokens >= len(pieces) - 1


def test_max_tokens_is_kept(llm: LanguageModel) -> None:
    item = Item(text="Tell me a long story.", params={"max_tokens": 7})
    assert llm.predict(item).completion_tokens == 7


def test_temperature_zero_repeats_itself_and_a_seed_too(llm: LanguageModel) -> None:
    question = "Name an animal."
    assert said(llm, question, max_tokens=8) == said(llm, question, max_tokens=8)
    warm = {"temperature": 1.5, "max_tokens": 8}
    assert said(llm, question, seed=7, **warm) == said(llm, question, seed=7, **warm)
    assert len({said(llm, question, seed=seed, **warm) for seed in range(3)}) > 1


def test_top_k_one_takes_the_likeliest_however_warm(llm: LanguageModel) -> None:
    coldly = said(llm, "Name a colour.", max_tokens=8)
    assert said(llm, "Name a colour.", max_tokens=8, temperature=2, top_k=1) == coldly
    assert said(llm, "Name a colour.", max_tokens=8, temperature=2, top_p=0.0) == coldly


def test_the_system_prompt_is_heard(llm: LanguageModel) -> None:
    plain = llm.predict(Item(text="Hello!", params={"max_tokens": 1}))
    longer = llm.predict(Item(text="Hello!", params={"max_tokens": 1, "system_prompt": "You are a pirate. " * 10}))
    assert longer.prompt_tokens > plain.prompt_tokens + 30


def test_a_template_becomes_the_message(llm: LanguageModel) -> None:
    answer = said(llm, "France", prompt_template="What is the capital of {prompt}?")
    assert "Paris" in answer


def test_a_template_with_chat_marks_is_taken_as_it_stands(llm: LanguageModel) -> None:
    template = (
        "<|im_start|>system\n{system_prompt}<|im_end|>\n"
        "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\nThe capital of France is"
    )
    answer = said(llm, "Which is it?", prompt_template=template, system_prompt="Be brief.", max_tokens=3)
    assert answer.strip().startswith("Paris")


def test_leaving_the_pieces_stops_the_model(llm: LanguageModel) -> None:
    pieces = llm.generate(Item(text="Tell me a long story.", params={"max_tokens": 1500}))
    next(pieces)
    started = time.monotonic()
    pieces.close()
    assert time.monotonic() - started < 2  # 1500 tokens take at least ten
    assert not [thread for thread in threading.enumerate() if thread.name == "llama"]


def test_a_cancel_stops_the_model(llm: LanguageModel) -> None:
    item = Item(text="Tell me a long story.", params={"max_tokens": 1500})
    pieces = []
    for piece in llm.generate(item):
        pieces.append(piece)
        item.cancelled.set()
    assert len(pieces) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "llama"]


def test_conversations_run_side_by_side(llm: LanguageModel) -> None:
    def first_two(item: Item) -> list[str]:
        return [next(pieces).data.text.raw for pieces in (llm.generate(item), llm.generate(item))]

    assert all(first_two(Item(text="Hello there!", params={"max_tokens": 200})))


def test_a_prompt_that_does_not_fit_is_refused(llm: LanguageModel) -> None:
    with pytest.raises(ModelError, match="2048") as caught:
        llm.predict(Item(text="word " * 3000))
    assert caught.value.code == 30105


def test_the_engine_writes_nothing(llm: LanguageModel, capfd: pytest.CaptureFixture[str]) -> None:
    said(llm, "Hi", max_tokens=3)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_nobody_else_can_use_the_engines_port(llm: LanguageModel) -> None:
    address = f"{llm.engine_address}/v1/models"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(address)
    assert caught.value.code == 401
    caught.value.close()


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_empty_prompt_is_refused(llm: LanguageModel, text: str | None) -> None:
    with pytest.raises(ModelError) as caught:
        llm.predict(Item(text=text))
    assert caught.value.code == 30104


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": -1},
        {"temperature": 2.5},
        {"temperature": "hot"},
        {"temperature": True},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": 100_000},
        {"top_k": -1},
        {"top_p": 1.1},
        {"seed": -1},
    ],
)
def test_parameters_out_of_range_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=next(iter(params))) as caught:
        sampling(Item(params=params))
    assert caught.value.code == 11102


def test_null_counts_as_not_given() -> None:
    assert sampling(Item(params={"temperature": None, "seed": None})) == sampling(Item())


def test_templates_are_filled_literally_and_once() -> None:
    assert fill("{system_prompt}|{prompt}|{other}|{0}", "{system_prompt}", "be {prompt}") == (
        "be {prompt}|{system_prompt}|{other}|{0}"
    )
    with pytest.raises(ModelError, match="prompt_template") as caught:
        fill("no place", "a", "b")
    assert caught.value.code == 11102
