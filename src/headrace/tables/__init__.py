"""Predictions as Arrow tables (extra `arrow`), in memory or as Parquet and Arrow files, and as pandas (extra `pandas`).

A row for each prediction. The columns are always these; null stands for "nothing there", and for all that a failed
input has not:

| column | type | |
|---|---|---|
| input_id, position, source | string, int64, string | which input |
| frame, time | int64, double | of a frame of a video or camera: its number, its time in seconds |
| status, request_id | int32, string | the protocol's status code; the server's id of the request |
| error | struct of type, code, message | why the input failed |
| text | string | |
| concepts | list of struct of name, value, id | best first |
| regions | list of struct | name, value, box (fractions), concepts, text, track_id, id, point, mask |
| frames | list of struct | of a whole video: index, time_ms, concepts, regions, text |
| embedding | fixed_size_list of float, or list of float | the first vector |
| image, audio | binary | as encoded by the model |
| prompt_tokens, completion_tokens, cached_tokens | int64 | |

`embedding` has a fixed size where the first vectors all have the same length, which is what vector stores and
`to_numpy` want; `dimensions=` says it beforehand.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, overload

from headrace.errors import ConfigError
from headrace.support.extras import install
from headrace.support.later import later_module
from headrace.tables.batch import ROWS, Batch
from headrace.tables.columns import FrameLike, Item, Items, require_pyarrow, schema, singles_of
from headrace.tables.writer import FORMATS, TableWriter

if TYPE_CHECKING:
    import pandas
    import pyarrow
else:
    pandas = later_module("pandas")
    pyarrow = later_module("pyarrow")


@overload
def record_batches(
    predictions: Items, *, rows: int = ROWS, dimensions: int | None = None
) -> Iterator[pyarrow.RecordBatch]: ...
@overload
def record_batches(
    predictions: AsyncIterable[Item], *, rows: int = ROWS, dimensions: int | None = None
) -> AsyncIterator[pyarrow.RecordBatch]: ...
def record_batches(
    predictions: Items | AsyncIterable[Item], *, rows: int = ROWS, dimensions: int | None = None
) -> Iterator[pyarrow.RecordBatch] | AsyncIterator[pyarrow.RecordBatch]:
    """Give predictions as record batches of one schema, while they come: memory stays that of one batch.

    Args:
        predictions: one, the answers of a batch, frames, or any iterable of them; an async one, such as a stream, gives
            an async iterator. Failed ones are rows with `error`.
        rows: of a batch at most; one with large pictures or vectors has fewer.
        dimensions: of `embedding`; 0: lists of any length; None: as the first batch has them.

    Raises:
        ConfigError: pyarrow isn't installed; or a vector has another length than `dimensions`.
    """
    batch = Batch(rows, dimensions)
    if isinstance(predictions, AsyncIterable):
        return _batches_async(predictions, batch)
    return _batches(predictions, batch)


@overload
def to_arrow(predictions: Items, *, dimensions: int | None = None) -> pyarrow.Table: ...
@overload
def to_arrow(
    predictions: AsyncIterable[Item], *, dimensions: int | None = None
) -> Coroutine[Any, Any, pyarrow.Table]: ...
def to_arrow(
    predictions: Items | AsyncIterable[Item], *, dimensions: int | None = None
) -> pyarrow.Table | Coroutine[Any, Any, pyarrow.Table]:
    """Give predictions as an Arrow table; `await` it where they are a stream. Arguments as for `record_batches`."""
    if isinstance(predictions, AsyncIterable):
        return _to_arrow_async(predictions, dimensions)
    batch = Batch(ROWS, dimensions)
    return batch.table(list(_batches(predictions, batch)))


@overload
def to_pandas(predictions: Items, *, dimensions: int | None = None) -> pandas.DataFrame: ...
@overload
def to_pandas(
    predictions: AsyncIterable[Item], *, dimensions: int | None = None
) -> Coroutine[Any, Any, pandas.DataFrame]: ...
def to_pandas(
    predictions: Items | AsyncIterable[Item], *, dimensions: int | None = None
) -> pandas.DataFrame | Coroutine[Any, Any, pandas.DataFrame]:
    """Give predictions as a pandas table; `await` it where they are a stream. Arguments as for `record_batches`.

    Whole numbers stay whole where some are missing (`Int64`); lists of structs are lists of dicts.

    Raises:
        ConfigError: pandas isn't installed.
    """
    try:
        import pandas
    except ImportError:
        raise ConfigError(f"pandas tables need pandas: {install('pandas')}") from None

    def frame(table: Any) -> pandas.DataFrame:
        pa = require_pyarrow()
        return table.to_pandas(types_mapper={pa.int64(): pandas.Int64Dtype(), pa.int32(): pandas.Int32Dtype()}.get)

    async def later(items: AsyncIterable[Item]) -> pandas.DataFrame:
        return frame(await _to_arrow_async(items, dimensions))

    if isinstance(predictions, AsyncIterable):
        return later(predictions)
    return frame(to_arrow(predictions, dimensions=dimensions))


@overload
def to_parquet(predictions: Items, path: str | os.PathLike[str], *, dimensions: int | None = None) -> int: ...
@overload
def to_parquet(
    predictions: AsyncIterable[Item], path: str | os.PathLike[str], *, dimensions: int | None = None
) -> Coroutine[Any, Any, int]: ...
def to_parquet(
    predictions: Items | AsyncIterable[Item], path: str | os.PathLike[str], *, dimensions: int | None = None
) -> int | Coroutine[Any, Any, int]:
    """Write predictions into a Parquet file with constant memory; `await` it where they are a stream.

    The file is there when all is written; where that fails, an older one stays as it was.

    Args:
        predictions: as for `record_batches`.
        dimensions: as there.

    Returns:
        How many rows were written.
    """
    writer = TableWriter(path, format=".parquet", dimensions=dimensions)
    if isinstance(predictions, AsyncIterable):
        return _to_parquet_async(predictions, writer)
    with writer.whole():
        for one in singles_of(predictions):
            writer.write(one)
    return writer.rows


def _batches(predictions: Items, batch: Batch) -> Iterator[Any]:
    taken = False
    for one in singles_of(predictions):
        batch.add(one)
        if batch.full:
            taken = True
            yield batch.take()
    if batch or not taken:
        yield batch.take()


async def _batches_async(predictions: AsyncIterable[Item], batch: Batch) -> AsyncIterator[Any]:
    taken = False
    async for item in predictions:
        for one in singles_of(item):
            batch.add(one)
            if batch.full:
                taken = True
                yield batch.take()
    if batch or not taken:
        yield batch.take()


async def _to_arrow_async(predictions: AsyncIterable[Item], dimensions: int | None) -> Any:
    batch = Batch(ROWS, dimensions)
    return batch.table([one async for one in _batches_async(predictions, batch)])


async def _to_parquet_async(predictions: AsyncIterable[Item], writer: TableWriter) -> int:
    with writer.whole():
        await writer.write_stream(predictions)
    return writer.rows


__all__ = ["FORMATS", "FrameLike", "TableWriter", "record_batches", "schema", "to_arrow", "to_pandas", "to_parquet"]
