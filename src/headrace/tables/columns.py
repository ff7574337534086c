"""The columns of a table of predictions, and the values of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headrace.errors import ConfigError, HeadraceError
from headrace.export import singles
from headrace.results.prediction import Prediction
from headrace.results.views import Concept, Frame, Region
from headrace.support.extras import install
from headrace.support.later import later_module

if TYPE_CHECKING:
    import pyarrow
else:
    pyarrow = later_module("pyarrow")


class FrameLike(Protocol):
    """A frame with its prediction, as `stream_frames` gives them."""

    @property
    def prediction(self) -> Prediction: ...
    @property
    def index(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def source(self) -> str: ...
    @property
    def regions(self) -> tuple[Region, ...]: ...


Item: TypeAlias = Prediction | FrameLike
Items: TypeAlias = Item | Iterable[Item]


def schema(dimensions: int = 0) -> pyarrow.Schema:
    """Give the columns and their types.

    Args:
        dimensions: of `embedding`; 0: a list of any length.

    Raises:
        ConfigError: pyarrow isn't installed.
    """
    pa = require_pyarrow()
    concepts = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float32()), ("id", pa.string())]))
    edges = [(edge, pa.float32()) for edge in ("top", "left", "bottom", "right")]
    point = pa.struct([("left", pa.float32()), ("top", pa.float32())])
    texts = [(name, pa.string()) for name in ("text", "track_id", "id")]
    region = [("name", pa.string()), ("value", pa.float32()), *edges, ("concepts", concepts), *texts]
    regions = pa.list_(pa.struct([*region, ("point", point), ("mask", pa.binary())]))
    frame = [("index", pa.int64()), ("time_ms", pa.int64()), ("concepts", concepts), ("regions", regions)]
    vector = pa.list_(pa.float32(), dimensions) if dimensions else pa.list_(pa.float32())
    return pa.schema(
        [
            ("input_id", pa.string()),
            ("position", pa.int64()),
            ("source", pa.string()),
            ("frame", pa.int64()),
            ("time", pa.float64()),
            ("status", pa.int32()),
            ("request_id", pa.string()),
            ("error", pa.struct([("type", pa.string()), ("code", pa.int32()), ("message", pa.string())])),
            ("text", pa.string()),
            ("concepts", concepts),
            ("regions", regions),
            ("frames", pa.list_(pa.struct([*frame, ("text", pa.string())]))),
            ("embedding", vector),
            ("image", pa.binary()),
            ("audio", pa.binary()),
            ("prompt_tokens", pa.int64()),
            ("completion_tokens", pa.int64()),
            ("cached_tokens", pa.int64()),
        ]
    )


def singles_of(items: Items) -> Iterator[Item]:
    """Give predictions of one input each; frames have one anyway."""
    if isinstance(items, Prediction):
        yield from singles(items) if len(items) else (items,)  # a response without outputs is a failed input
    elif isinstance(items, Iterable):
        for item in items:
            yield from singles_of(item)
    else:
        yield items


def row_of(item: Item, source: str) -> dict[str, Any]:
    """Give the values of a row; what cannot be decoded makes it that of a failed input."""
    frame = None if isinstance(item, Prediction) else item
    prediction = item if isinstance(item, Prediction) else item.prediction
    head = {
        "input_id": prediction.input_id,
        "position": prediction.position,
        "source": _text(source or (frame.source if frame is not None else prediction.source)),
        "frame": None if frame is None else frame.index,
        "time": None if frame is None else frame.time,
    }
    try:
        if prediction.error is not None:
            raise prediction.error
        return head | _content(prediction, prediction.regions if frame is None else frame.regions)
    except HeadraceError as error:
        return dict.fromkeys(_CONTENT) | head | _failure(prediction, error)


_CONTENT = (
    "status", "request_id", "error", "text", "concepts", "regions", "frames", "embedding", "image", "audio",
    "prompt_tokens", "completion_tokens", "cached_tokens",
)  # fmt: skip


def _failure(prediction: Prediction, error: HeadraceError) -> dict[str, Any]:
    status = prediction.status
    why = {"type": type(error).__name__, "code": error.code, "message": _text(str(error))}
    return {"status": status.code or None, "request_id": status.request_id or None, "error": why}


def _content(prediction: Prediction, regions: Iterable[Region]) -> dict[str, Any]:
    vector = prediction.embedding
    usage = prediction.usage
    return {
        "status": prediction.status.code,
        "request_id": prediction.request_id or None,
        "error": None,
        "text": prediction.text or None,
        "concepts": _concepts(prediction.concepts),
        "regions": _regions(regions),
        "frames": [_frame(frame) for frame in prediction.frames],
        "embedding": vector if len(vector) else None,
        "image": prediction.image,
        "audio": prediction.audio,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _concepts(concepts: Iterable[Concept]) -> list[dict[str, Any]]:
    return [concept._asdict() for concept in concepts]


def _regions(regions: Iterable[Region]) -> list[dict[str, Any]]:
    return [
        {
            "name": region.name,
            "value": region.value,
            **region.box._asdict(),
            "concepts": _concepts(region.concepts),
            "text": region.text or None,
            "track_id": region.track_id or None,
            "id": region.id or None,
            "point": None if region.point is None else dict(zip(("left", "top"), region.point, strict=True)),
            "mask": region.mask,
        }
        for region in regions
    ]


def _frame(frame: Frame) -> dict[str, Any]:
    return {
        "index": frame.index,
        "time_ms": frame.time_ms,
        "concepts": _concepts(frame.concepts),
        "regions": _regions(frame.regions),
        "text": frame.text or None,
    }


def _text(text: str) -> str:
    """Escape lone surrogates, of file names, which UTF-8 has not."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def require_pyarrow() -> Any:
    """Import pyarrow.

    Raises:
        ConfigError: it is not installed; names the extra.
    """
    try:
        import pyarrow
    except ImportError:
        raise ConfigError(f"tables need pyarrow: {install('arrow')}") from None
    return pyarrow
