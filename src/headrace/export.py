"""Predictions as JSON, JSON lines or CSV, for other programs.

A table (CSV) has a row for each thing found:

| column | |
|---|---|
| input_id, position, source | which input; source is the name that the caller gives it |
| kind | concept, region, text, embedding, image, audio, frame (nothing was found in it), error; "": nothing was found |
| item | number of the region or embedding in its input or frame: a region with two concepts has two rows |
| name, value | a concept's; an embedding's dimensions; format and bytes of media; an error's type and code |
| top, left, bottom, right | a region's box in fractions of the picture |
| frame, time | of a video: the frame's index, its time in seconds |
| text | a text, a region's text, an embedding's numbers as JSON, an error's message |
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, TypeAlias

from headrace import media
from headrace.results.prediction import Prediction
from headrace.results.views import Box
from headrace.support import jsontext
from headrace.support.files import placed

if TYPE_CHECKING:
    from headrace.results.views import Concept, Region

File: TypeAlias = str | os.PathLike[str] | IO[str]
COLUMNS = (
    "input_id", "position", "source", "kind", "item", "name", "value",
    "top", "left", "bottom", "right", "frame", "time", "text",
)  # fmt: skip
Row: TypeAlias = dict[str, str]
Writer: TypeAlias = Callable[[Prediction | Iterable[Prediction], File], int]


def to_json(predictions: Prediction | Iterable[Prediction], file: File) -> int:
    """Write one JSON document: a list of objects, or the object alone if one prediction is given.

    Args:
        predictions: one, the answers of a batch, or any iterable of them; failed ones become objects with `error`.
        file: a path, or an open text file.

    Returns:
        How many predictions were written.
    """
    records = [one.to_dict() for one in singles(predictions)]
    alone = isinstance(predictions, Prediction) and len(records) == 1
    with _opened(file) as out:
        out.write(f"{_json(records[0] if alone else records, out, indent=2)}\n")
    return len(records)


def to_jsonl(predictions: Prediction | Iterable[Prediction], file: File) -> int:
    """Write a JSON object a line, one prediction each; arguments and result as for `to_json`."""
    count = 0
    with _opened(file) as out:
        for one in singles(predictions):
            out.write(f"{_json(one.to_dict(), out)}\n")
            count += 1
    return count


def to_csv(predictions: Prediction | Iterable[Prediction], file: File) -> int:
    """Write a table of everything found, see above; arguments as for `to_json`.

    Returns:
        How many rows were written, without the header.
    """
    with _opened(file) as out:
        writer = CsvWriter(out)
        for one in singles(predictions):
            writer.write(one)
    return writer.rows


class CsvWriter:
    """Writes a table as predictions come, such as those of a stream.

    Args:
        file: an open text file; the header is written immediately.
    """

    def __init__(self, file: IO[str]) -> None:
        self.rows: int = 0
        self._encoding = _encoding(file)
        self._writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        self._writer.writeheader()

    def write(self, prediction: Prediction, source: str = "") -> int:
        """Write one prediction's rows and give their number; those of a batch belong to its inputs.

        Args:
            prediction: a good or a failed one.
            source: what to call the input, such as its file's name.
        """
        before = self.rows
        for one in singles(prediction):
            head = {"input_id": one.input_id, "position": str(one.position), "source": source}
            for row in rows(one):
                self._writer.writerow({name: self._text(text) for name, text in {**head, **row}.items()})
                self.rows += 1
        return self.rows - before

    def _text(self, text: str) -> str:
        """Escape characters that the file's encoding lacks, such as lone surrogates of file names."""
        return text if text.isascii() else text.encode(self._encoding, "backslashreplace").decode(self._encoding)


def singles(predictions: Prediction | Iterable[Prediction]) -> Iterator[Prediction]:
    """Give predictions of one input each: those of a batch one by one, failed ones as they are."""
    if not isinstance(predictions, Prediction):
        for one in predictions:
            yield from singles(one)
    elif predictions.error is not None or len(predictions) == 1:
        yield predictions
    else:
        yield from predictions


def rows(prediction: Prediction) -> Iterator[Row]:
    """Yield what one prediction found, a row each, an empty one for nothing; empty columns are left out."""
    empty = True
    for row in _content_rows(prediction):
        empty = False
        yield row
    if empty:
        yield {}


def _content_rows(prediction: Prediction) -> Iterator[Row]:
    if prediction.error is not None:
        error = prediction.error
        code = "" if error.code is None else str(error.code)
        yield {"kind": "error", "name": type(error).__name__, "value": code, "text": str(error)}
        return
    for frame in prediction.frames:
        at = {"frame": str(frame.index), "time": _number(frame.time)}
        rows = [*_concepts(frame.concepts), *_regions(frame.regions)] or [{"kind": "frame"}]
        yield from ({**row, **at} for row in rows)
    yield from _concepts(prediction.concepts)
    yield from _regions(prediction.regions)
    if prediction.text:
        yield {"kind": "text", "text": prediction.text}
    for item, vector in enumerate(prediction.embeddings):
        numbers = f"[{', '.join(map(_number, vector))}]"
        yield {"kind": "embedding", "item": str(item), "value": str(len(vector)), "text": numbers}
    for kind, data in (("image", prediction.image), ("audio", prediction.audio)):
        if data:
            yield {"kind": kind, "name": media.extension(data), "value": str(len(data))}


def _concepts(concepts: Iterable[Concept]) -> Iterator[Row]:
    return ({"kind": "concept", "name": c.name, "value": _number(c.value)} for c in concepts)


def _regions(regions: Sequence[Region]) -> Iterator[Row]:
    for item, region in enumerate(regions):
        box = dict(zip(Box._fields, map(_number, region.box), strict=True))
        row = {"kind": "region", "item": str(item), **(box if any(region.box) else {}), "text": region.text}
        for concept in region.concepts:
            yield {**row, "name": concept.name, "value": _number(concept.value)}
        if not region.concepts:
            yield {**row, "value": _number(region.value)}


def _number(value: float) -> str:
    return format(value, ".7g")  # digits of a 32-bit float


def _json(value: object, out: IO[str], *, indent: int | None = None) -> str:
    return jsontext.dumps(value, indent=indent, encoding=_encoding(out))


def _encoding(file: IO[str]) -> str:
    return getattr(file, "encoding", None) or "utf-8"


@contextlib.contextmanager
def _opened(file: File) -> Iterator[IO[str]]:
    """Open a path, whose file appears when all is written; leave an open file open."""
    if isinstance(file, str | os.PathLike):
        with placed(file) as path, path.open("w", encoding="utf-8", newline="") as out:
            yield out
    else:
        yield file
