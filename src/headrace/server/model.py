"""The contract between the server and its models: a model's input, its answers, its failures.

A model is any Python class with one or more of `predict`, `generate` and `stream`; nothing has to be inherited::

    class Shout:
        def predict(self, item: Item) -> str:
            return item.text.upper()

Methods may be plain (run in a worker thread), generators, or `async`. They take one `Item` (`stream`: an iterator of
items) and give back an `Answer` or anything `to_answer` understands. A model that is faster on several items at once
has `predict_many`: it takes a list of them (those that wait anyway) and gives back a list of answers, a ModelError in
place of an item's that failed. `load()` (optional, blocking) runs once in a thread before first use, `close()`
(optional) when the server stops.

Class attributes, all optional: `card` describes the model; `concurrency` (1) is how many calls may run at once; `batch`
(16) how many items `predict_many` gets at most; `timeout` (900) for how many seconds a call may work without giving
anything: then its input fails, and others get its slot; `ordered = False` lets a stream's answers leave as they are
ready; `parameters` names the inference parameters with their defaults (or types), for calls with typed arguments.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.v2 import resources_pb2 as pb


class ModelError(Exception):
    """A failure of one input, answered with a status of the protocol.

    Args:
        code: Clarifai status code, such as 30300 (invalid bytes) or 11102 (invalid parameter).
        description: one sentence for the user; no payload, no path of the server.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """The caller's output configuration (`output_info.output_config`); zero values mean "not given"."""

    min_value: float = 0.0
    max_concepts: int = 0
    select_concepts: tuple[str, ...] = ()  # names or ids
    sample_ms: int = 0
    language: str = ""


@dataclass(slots=True)
class Item:
    """One input of a call, its URLs already fetched.

    `text` is None when the input carries no text; `image`, `video` and `audio` are the encoded file's bytes.
    `params` are the inference parameters (whole doubles are ints). `cancelled` is set when the caller has gone:
    long work looks at it between steps; generators are closed as well.
    """

    id: str = ""
    text: str | None = None
    image: bytes | None = None
    video: bytes | None = None
    audio: bytes | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    config: OutputConfig = field(default_factory=OutputConfig)
    data: pb.Data = field(default_factory=pb.Data)  # the input as received, for models that need more
    cancelled: threading.Event = field(default_factory=threading.Event)
    method: str = ""  # the method that a call with typed arguments names


@dataclass(slots=True)
class Answer:
    """One answer: the protocol's `Data` and the tokens that it cost (0: not counted), a generated piece its own.

    `input_id` is for `stream` methods that do not answer items in the order in which they take them: the id of the
    item answered ("": none in particular). Left None, it is the item taken last.
    """

    data: pb.Data
    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_id: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A model's description (`headrace models show NAME`)."""

    id: str  # the model id in URLs: lower-case letters, digits, '-'
    task: str  # Clarifai's model type id: "visual-classifier", "text-to-text", ...
    title: str
    description: str
    input_fields: tuple[str, ...]  # of "image", "text", "video", "audio"
    output_fields: tuple[str, ...]  # "concepts", "regions", "text", "embeddings", ...
    licence: str = "unknown"
    provenance: str = ""
    size_bytes: int = 0  # weights on disk
    weak_at: str = ""
    sample: str = ""  # a command that shows it
    weights: tuple[str, ...] = ()  # names in `weights.py` that it needs before `load`
    packages: tuple[str, ...] = ()  # modules that `load` imports: looked for before weights are fetched


def text(value: str, *, prompt_tokens: int = 0, completion_tokens: int = 0) -> Answer:
    """Make an answer from text (`data.text.raw`)."""
    return Answer(pb.Data(text=pb.Text(raw=value)), prompt_tokens, completion_tokens)


def concepts(scores: Iterable[tuple[str, float]], config: OutputConfig | None = None) -> Answer:
    """Make an answer from concepts, best first, filtered by `config`: names, minimum value, maximum number.

    Args:
        scores: (name, value in 0..1) pairs in any order.
    """
    return Answer(pb.Data(concepts=concept_list(scores, config)))


def concept_list(scores: Iterable[tuple[str, float]], config: OutputConfig | None = None) -> list[pb.Concept]:
    """Sort and filter (name, value) pairs into `Concept` messages."""
    config = config or OutputConfig()
    wanted = {name.casefold() for name in config.select_concepts}
    chosen = [
        (name, value)
        for name, value in sorted(scores, key=lambda pair: -pair[1])
        if value >= config.min_value and (not wanted or name.casefold() in wanted or concept_id(name) in wanted)
    ]
    limit = config.max_concepts or len(chosen)
    return [pb.Concept(id=concept_id(name), name=name, value=value) for name, value in chosen[:limit]]


def concept_id(name: str) -> str:
    """Derive a concept's id from its name: lower case, everything but letters and digits as '-'."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.casefold()).split())


@dataclass(frozen=True, slots=True)
class Box:
    """A found object: its name, score and corners as fractions of the picture (0..1), rows downwards."""

    name: str
    value: float
    top: float
    left: float
    bottom: float
    right: float


def regions(boxes: Sequence[Box], config: OutputConfig | None = None) -> Answer:
    """Make an answer from boxes (`data.regions`), best first; `config` filters as for concepts, a box a concept."""
    config = config or OutputConfig()
    messages = []
    for box in sorted(boxes, key=lambda b: -b.value):
        names = concept_list([(box.name, box.value)], config)
        if names:
            corners = pb.BoundingBox(top_row=box.top, left_col=box.left, bottom_row=box.bottom, right_col=box.right)
            messages.append(
                pb.Region(
                    region_info=pb.RegionInfo(bounding_box=corners), data=pb.Data(concepts=names), value=box.value
                )
            )
    return Answer(pb.Data(regions=messages[: config.max_concepts or len(messages)]))


def to_answer(value: object) -> Answer:
    """Turn the result of a model's method into an `Answer`.

    Understood: `Answer`, the protocol's `Data`, `str` (text), and a list of (name, value) pairs (concepts).

    Raises:
        ModelError: 21313 with the type's name when it is none of these.
    """
    if isinstance(value, Answer):
        if not isinstance(value.data, pb.Data):
            raise ModelError(21313, f"the model's Answer holds {type(value.data).__name__}; it must be Data")
        if not all(isinstance(n, int) and 0 <= n < 1 << 32 for n in (value.prompt_tokens, value.completion_tokens)):
            raise ModelError(21313, "the model's Answer counts its tokens with something other than whole numbers")
        if not isinstance(value.input_id, str | None):
            raise ModelError(21313, f"the model's Answer names an input by {type(value.input_id).__name__}, not str")
        return value
    if isinstance(value, pb.Data):
        return Answer(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return concepts(value)
    kinds = "Answer, Data, str or (name, value) pairs"
    raise ModelError(21313, f"the model returned {type(value).__name__}; it must return {kinds}")
