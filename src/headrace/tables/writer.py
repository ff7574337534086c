"""Files of predictions that are written as these come: Parquet and Arrow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from typing import Any, Self

from headrace.errors import ClosedError, ConfigError
from headrace.support.files import placed
from headrace.tables.batch import ROWS, Batch
from headrace.tables.columns import Item, singles_of

FORMATS = (".parquet", ".arrow", ".feather")


class TableWriter:
    """Writes a Parquet or Arrow file as predictions come, such as those of a stream; memory stays that of one batch.

    `with`, or `close()` in the end, completes the file: what was written until then is there, in place of an older one.

    Args:
        path: ends in .parquet, .arrow or .feather.
        format: one of these, where the path ends in something else.
        rows: of a batch at most.
        dimensions: as for `record_batches`.

    Raises:
        ConfigError: another ending, or pyarrow isn't installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        rows: int = ROWS,
        dimensions: int | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self.rows: int = 0
        self._format = format or self.path.suffix.lower()
        if self._format not in FORMATS:
            raise ConfigError(f"{self.path.name}: a table's name ends in {', '.join(FORMATS)}")
        self._batch = Batch(rows, dimensions)
        self._placing = contextlib.ExitStack()  # completes the file, then moves it into place
        self._file: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<TableWriter {self.path}: {self.rows} rows>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, prediction: Item, source: str = "") -> int:
        """Write one prediction and give the number of its rows: one, or of a batch one for each input.

        Args:
            prediction: a good or a failed one, or a frame.
            source: what to call the input, such as its file's name; left out: as the prediction says.

        Raises:
            ClosedError: it is closed.
            OSError: the file cannot be written.
        """
        before = self.rows
        for one in singles_of(prediction):
            self._add(one, source)
            if self._batch.full:
                self._flush()
        return self.rows - before

    async def write_stream(self, predictions: AsyncIterable[Item]) -> int:
        """Write predictions as they come, the file in a thread, and give the number of rows."""
        from anyio import to_thread

        before = self.rows
        async for prediction in predictions:
            for one in singles_of(prediction):
                self._add(one, "")
                if self._batch.full:
                    await to_thread.run_sync(self._flush)
        return self.rows - before

    def _add(self, one: Item, source: str) -> None:
        if self._closed:
            raise ClosedError(f"{self!r} is closed")
        self._batch.add(one, source)
        self.rows += 1

    def close(self) -> None:
        """Complete the file; idempotent."""
        if self._closed:
            return
        with self.whole():
            pass

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Complete the file when the block ends well, and write none when it fails."""
        try:
            yield
            self._closed = True
            if self._batch or self._file is None:
                self._flush()
        except BaseException as error:
            self._closed = True
            self._placing.__exit__(type(error), error, error.__traceback__)
            raise
        self._placing.close()

    def _flush(self) -> None:
        batch = self._batch.take()
        if self._file is None:
            self._open(batch.schema)
        self._file.write_batch(batch)

    def _open(self, columns: Any) -> None:
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(placed(self.path))
            if self._format == ".parquet":
                from pyarrow import parquet

                self._file = stack.enter_context(parquet.ParquetWriter(path, columns, compression="zstd"))
            else:
                from pyarrow import ipc

                file = stack.enter_context(path.open("wb"))
                self._file = stack.enter_context(ipc.new_file(file, columns))
            self._placing = stack.pop_all()
