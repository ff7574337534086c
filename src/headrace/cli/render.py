"""Predictions as text: tables and bars on a terminal, plain lines elsewhere. Results only, and only to stdout."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from headrace.cli.content import frame_concepts
from headrace.cli.run import say
from headrace.cli.status import styled
from headrace.cli.terminal import can_draw, escape, in_bytes, line, score, wrapped
from headrace.support import jsontext

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headrace import Prediction
    from headrace.errors import HeadraceError
    from headrace.results import Concept, Frame, Region

_FEW = 6  # concepts that are all shown


def emit(text: str, *, out: TextIO | None = None) -> None:
    """Write one result to stdout and flush it, so that the next program in a pipe gets it now."""
    out = out or sys.stdout
    out.write(f"{encodable(text, out)}\n")
    out.flush()


def emit_lines(text: str, name: str) -> None:
    """Write a result for people; if it holds nothing, a line on stderr says so."""
    if text:
        emit(text)
    else:
        say(f"{name}: nothing found" if name else "nothing found")


def emit_media(prediction: Prediction) -> bool:
    """Write the bytes of a lone picture or sound into a pipe or file; return whether that was done."""
    p = prediction
    data = p.image or p.audio
    others = (p.image and p.audio, p.frames, p.regions, p.concepts, p.text, p.embedding)
    if not data or any(others) or sys.stdout.isatty() or not hasattr(sys.stdout, "buffer"):
        return False
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return True


def encodable(text: str, out: TextIO) -> str:
    """Escape characters that the stream's encoding lacks."""
    encoding = out.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def as_json(value: object, *, indent: int | None = 2) -> str:
    """Write JSON that stdout can take, and whose text cannot steer a terminal."""
    return jsontext.dumps(value, indent=indent, encoding=sys.stdout.encoding)


def record(prediction: Prediction, source: str) -> dict[str, Any]:
    """Return a prediction as a JSON object, with the input's name as the user gave it."""
    fields = prediction.to_dict()
    return {"input_id": fields.pop("input_id", ""), "position": fields.pop("position", 0), "source": source, **fields}


def failed(error: HeadraceError, position: int) -> Prediction:
    """Make the prediction of an input that failed, to be printed beside good ones."""
    from headrace.results import Prediction

    return Prediction.failed(error, input_id=getattr(error, "input_id", None) or "", position=position)


def records(
    pairs: Sequence[tuple[str, Prediction]], form: str, table: Table | None = None, *, alone: bool = False
) -> None:
    """Print predictions with their inputs' names, for programs.

    Args:
        pairs: pairs of name and prediction, good or failed.
        form: "json" (a list, or the object where `alone`) or "jsonl", where there is no table.
        table: takes them instead.
        alone: whether there is one input and cannot be more.
    """
    if table is not None:
        for name, prediction in pairs:
            table.add(prediction, name)
        table.finish()
        return
    objects = [record(prediction, name) for name, prediction in pairs]
    if form == "jsonl":
        for one in objects:
            emit(as_json(one, indent=None))
    else:
        emit(as_json(objects[0] if alone else objects))


class Table(Protocol):
    """Takes predictions as they come."""

    def add(self, prediction: Prediction, source: str) -> None:
        """Write the rows of one prediction."""

    def finish(self) -> None:
        """Complete it."""


class CsvTable:
    """Prints a table (CSV) of what predictions found, row by row as they come; the header goes first."""

    def __init__(self) -> None:
        from headrace.export import CsvWriter

        self._buffer = io.StringIO()
        self._writer = CsvWriter(self._buffer)

    def add(self, prediction: Prediction, source: str) -> None:
        """Print the rows of one prediction."""
        self._writer.write(prediction, source)
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        if text:
            emit(escape(text.removesuffix("\n")))

    def finish(self) -> None:
        """Do nothing: each row was printed."""


def heading(name: str, *, pretty: bool) -> str:
    """Return the line above one input's result, if there are several."""
    return styled(line(name), "bold") if pretty else f"== {line(name)}"


def show(prediction: Prediction, *, pretty: bool) -> str:
    """Write one good prediction for people (`pretty`) or as plain lines with tabs; "" when it holds nothing."""
    if pretty:
        return "\n".join(_pretty(prediction))
    return "\n".join(_plain(prediction))


def summary(prediction: Prediction, *, pretty: bool = False) -> str:
    """Write one good prediction on one line, for a list of many."""

    def value(number: float) -> str:
        return score(number) if pretty else f"{number:.4f}"

    if prediction.regions:
        parts = [f"{line(r.name or r.text)} {value(r.value)}" for r in prediction.regions]
    elif prediction.frames:
        parts = [f"{len(prediction.frames)} frames", *_in_frames(prediction.frames)]
    elif prediction.concepts:
        parts = [f"{line(c.name)} {value(c.value)}" for c in prediction.concepts[:3]]
    elif prediction.text:
        parts = [line(prediction.text)]
    else:
        parts = [text.strip() for text in _plain(prediction)] or ["nothing found"]
    return ", ".join(parts)


def row(name: str, prediction: Prediction, *, pretty: bool) -> str:
    """Return one prediction among many on one line: the input's name and the summary, in columns or with a tab."""
    if not pretty:
        return f"{line(name)}\t{summary(prediction)}"
    from headrace.cli import pretty as drawing

    return drawing.row(line(name), summary(prediction, pretty=True))


def on_terminal() -> bool:
    """Return whether results are read by a person, on a terminal that has the characters to draw bars with."""
    return can_draw(sys.stdout)


def _pretty(prediction: Prediction) -> Iterable[str]:
    from headrace.cli import pretty

    if prediction.frames:
        yield pretty.frames(prediction.frames)
    if prediction.regions:
        yield pretty.regions(prediction.regions)
    if prediction.concepts:
        yield from _worth_reading(prediction.concepts)
    if prediction.text:
        yield wrapped(escape(prediction.text))
    yield from media(prediction)


def _worth_reading(concepts: Sequence[Concept]) -> Iterable[str]:
    """Yield the concepts worth showing: a few unchanged, of many those of 1% or more (at least three)."""
    from headrace.cli import pretty

    kept = [c for n, c in enumerate(concepts) if len(concepts) <= _FEW or n < 3 or c.value >= 0.01]
    yield pretty.concepts(kept)
    if len(kept) < len(concepts):
        yield f"  … and {len(concepts) - len(kept)} below 1% (all of them with -o json, or in a pipe)"


def _plain(prediction: Prediction) -> Iterable[str]:
    for frame in prediction.frames:
        head = f"{frame.time_ms}\t"
        yield from (f"{head}{text}" for text in _plain_regions(frame.regions))
        yield from (f"{head}{text}" for text in _plain_concepts(frame_concepts(frame)))
    yield from _plain_regions(prediction.regions)
    yield from _plain_concepts(prediction.concepts)
    if prediction.text:
        yield escape(prediction.text)
    yield from media(prediction)


def _plain_concepts(concepts: Iterable[Concept]) -> Iterable[str]:
    return (f"{line(c.name)}\t{c.value:.4f}" for c in concepts)


def _plain_regions(regions: Iterable[Region]) -> Iterable[str]:
    return (
        f"{line(_label(r))}\t{r.value:.4f}\t{r.top:.4f}\t{r.left:.4f}\t{r.bottom:.4f}\t{r.right:.4f}" for r in regions
    )


def media(prediction: Prediction) -> Iterable[str]:
    """Describe vectors, pictures and sounds, a line each."""
    for embedding in prediction.embeddings:
        yield vector(embedding)
    if prediction.image:
        yield f"picture of {in_bytes(len(prediction.image))}"
    if prediction.audio:
        yield f"sound of {in_bytes(len(prediction.audio))}"


def vector(numbers: Sequence[float]) -> str:
    """Describe a vector by its length and its first numbers."""
    start = ", ".join(f"{x:.4f}" for x in numbers[:6])
    return f"vector of {len(numbers)} numbers: {start}{', ...' if len(numbers) > 6 else ''}"


def is_empty(prediction: Prediction) -> bool:
    """Return whether an answer holds nothing that can be shown."""
    p = prediction
    return not any((p.frames, p.regions, p.concepts, p.text, p.embedding, p.image, p.audio))


def _in_frames(frames: Iterable[Frame]) -> list[str]:
    best: dict[str, int] = {}
    for frame in frames:
        for name in {r.name for r in frame.regions} | {c.name for c in frame.concepts}:
            best[name] = best.get(name, 0) + 1
    return [f"{line(name)} in {count}" for name, count in sorted(best.items(), key=lambda pair: -pair[1])[:3]]


def _label(region: Region) -> str:
    return line(region.name or region.text or "region")
