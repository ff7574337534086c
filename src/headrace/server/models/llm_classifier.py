"""Text classifier made of a language model: the classes are named in the prompt."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence

from headrace.server import model
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._llama import LLM, QWEN, SMOLLM2
from headrace.server.models._params import INVALID_ARGUMENT, INVALID_PARAMETER, flag, words

_FRAME = '"{text}"\n\nIn one word, this is about:'
_CHAT_FRAME = (
    "<|im_start|>system\nYou sort texts into classes.<|im_end|>\n"
    "<|im_start|>user\nText: {text}\nClasses: {classes}\nAnswer with exactly one of the classes.<|im_end|>\n"
    "<|im_start|>assistant\n"
)
_NOTHING = ("N/A", "...", "This is a text.")  # how likely each class is when nothing was said
_MAX_CLASSES = 50
_LIST = re.compile(r"(?:classes|categories|labels)\s*:\s*(\[[^\]]*\]|[^\n;]*)\s*[;\n.]?", re.IGNORECASE)
_AROUND = " \t\"'`.\u2018\u2019\u201c\u201d"  # all kinds of quotation marks
_LABEL = re.compile(r"^\s*(?:text|sentence|input|review|message)\s*:\s*", re.IGNORECASE)


class PromptClassifier:
    """Choose one of the classes that the prompt names, such as "Classes: [positive, negative]; Text: I love it".

    `text.raw` is the class, judged by how much likelier the text makes its first words. Inference parameters:
    `classes`, a list, instead of the prompt's (the whole prompt is the text then); `scores` (true: all classes with
    their shares, which add up to 1, as `data.concepts`, too). `data.metadata["answered_by"]` names the language model.
    """

    card: Card = Card(
        id="llm-classify",
        task="text-to-text",
        title="A language model as a classifier",
        description="Sorts an English text into one of the classes that its prompt names, by a language model.",
        input_fields=("text",),
        output_fields=("text",),
        licence="Apache-2.0",
        provenance=f"{QWEN} where it is in the cache, else {SMOLLM2}, asked for the likeliest class",
        size_bytes=98_362_432,
        weak_at=(
            "fine distinctions such as neutral or mixed, long class names; of 20 easy texts the small model has 15"
            " right; a better one: headrace models pull qwen2.5-coder-1.5b"
        ),
        sample=(
            "headrace predict --local --model_id llm-classify --input_type text"
            " --bytes 'Classes: sports, politics, food; Text: Simmer the soup and add some basil.'"
        ),
        weights=(LLM,),
        packages=("xllamacpp",),
    )
    accepts: tuple[str, ...] = ("classes", "scores")
    concurrency = 2

    def load(self) -> None:
        """Check the weights and load them."""
        from headrace.server.models._llama import best

        self._author, self._llama = best()
        self._chats = self._author == QWEN  # large enough to be asked; the small one only goes on with a text
        self._plain = functools.lru_cache(32)(self._plain_scores)

    def predict(self, item: Item) -> Answer:
        """Classify one text."""
        text, classes = parse(item)
        with_scores = flag(item, "scores")
        scores = self._scores(text, classes)
        plain = dict.fromkeys(classes, 0.0) if self._chats else self._plain(classes)
        gains = {name: scores[name] - plain[name] for name in classes}
        best = max(gains.values())
        shares = {name: math.exp(gain - best) for name, gain in gains.items()}
        total = sum(shares.values())
        answer = model.text(max(shares, key=lambda name: shares[name]))
        answer.data.metadata["answered_by"] = self._author
        if with_scores:
            scored = [(name, share / total) for name, share in shares.items()]
            answer.data.concepts.extend(model.concept_list(scored, item.config))
        return answer

    def _scores(self, text: str, classes: Sequence[str]) -> dict[str, float]:
        """Score each class by its first word; classes that share one share the rest of its probability."""
        scores: dict[str, float] = {}
        pending = [("", list(classes))]
        while pending:
            begun, group = pending.pop()
            heads = {name: name[len(begun) :].split()[0] for name in group if name[len(begun) :].split()}
            lead = "" if self._chats and not begun else " "
            likely = self._llama.likelihoods(self._frame(text, classes) + begun, sorted(set(heads.values())), lead)
            for head, score in likely.items():
                same = [name for name, first in heads.items() if first == head]
                for name in same:
                    scores[name] = scores.get(name, 0.0) + score
                longer = [name for name in same if name[len(begun) :].split()[1:]]
                if len(same) > 1 and longer:
                    pending.append((f"{begun}{lead}{head}", longer))
        return scores

    def _frame(self, text: str, classes: Sequence[str]) -> str:
        if not self._chats:
            return _FRAME.format(text=text)
        unmarked = text.replace("<|", "< |")  # marks of the chat are ours alone
        return _CHAT_FRAME.format(text=unmarked, classes=", ".join(classes).replace("<|", "< |"))

    def _plain_scores(self, classes: tuple[str, ...]) -> dict[str, float]:
        parts = [self._scores(text, classes) for text in _NOTHING]
        return {name: sum(part[name] for part in parts) / len(parts) for name in classes}


def parse(item: Item) -> tuple[str, tuple[str, ...]]:
    """Take the text and the classes out of a prompt.

    Raises:
        ModelError: 30104 when it names fewer than two classes, more than 50, or no text; 11102 for `classes` that
            is not a list of texts.
    """
    prompt = words(item)
    listed = item.params.get("classes")
    if listed is not None:
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ModelError(INVALID_PARAMETER, "parameter classes must be a list of texts")
        text, names = prompt, listed
    else:
        match = _LIST.search(prompt)
        names = re.split(r",|\bor\b", match[1].strip("[] ")) if match else []
        after = prompt[match.end() :] if match else ""
        text = after if after.strip() else prompt[: match.start()] if match else ""
    classes = tuple(dict.fromkeys(name for name in (one.strip(_AROUND) for one in names) if name))
    text = _LABEL.sub("", text).strip()
    if not 2 <= len(classes) <= _MAX_CLASSES:
        raise ModelError(INVALID_ARGUMENT, "name 2 to 50 classes, such as: Classes: positive, negative; Text: ...")
    if not text:
        raise ModelError(INVALID_ARGUMENT, "the prompt has classes but no text to classify")
    return text, classes
