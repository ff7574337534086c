"""Predictions that gather until they are a record batch."""

from __future__ import annotations

from typing import Any

from headrace.errors import ConfigError
from headrace.tables.columns import Item, require_pyarrow, row_of, schema

ROWS = 1000  # of a batch at most
_BATCH_BYTES = 32 << 20  # of pictures, sounds, masks and vectors in a batch, a prediction more or less


class Batch:
    """Predictions that wait to become a record batch.

    Args:
        rows: it is full with so many.
        dimensions: of `embedding`; None: as the first batch has them.

    Raises:
        ConfigError: pyarrow isn't installed, `rows` is below 1 or `dimensions` below 0.
    """

    def __init__(self, rows: int, dimensions: int | None) -> None:
        self._pa = require_pyarrow()
        if rows < 1 or (dimensions is not None and dimensions < 0):
            raise ConfigError("rows is at least 1, and dimensions at least 0")
        self._limit = rows
        self._dimensions = dimensions
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether it is to be taken before more is added."""
        return len(self._rows) >= self._limit or self._bytes >= _BATCH_BYTES

    def add(self, item: Item, source: str = "") -> None:
        """Add a row."""
        row = row_of(item, source)
        self._rows.append(row)
        self._bytes += sum(len(row[name] or b"") for name in ("image", "audio")) + 4 * len(row["embedding"] or ())
        self._bytes += sum(len(region["mask"] or b"") for region in row["regions"] or ())

    def take(self) -> Any:
        """Make a record batch of the rows, and begin again."""
        rows, self._rows, self._bytes = self._rows, [], 0
        vectors = [row["embedding"] for row in rows]
        if self._dimensions is None:
            lengths = {len(vector) for vector in vectors if vector is not None}
            self._dimensions = lengths.pop() if len(lengths) == 1 else 0
        self._check(rows, self._dimensions)
        columns = schema(self._dimensions)
        arrays = [
            _vectors(self._pa, vectors, self._dimensions)
            if column.name == "embedding"
            else self._pa.array([row[column.name] for row in rows], column.type)
            for column in columns
        ]
        return self._pa.RecordBatch.from_arrays(arrays, schema=columns)

    def table(self, batches: list[Any]) -> Any:
        """Make a table of batches that were taken; of none, an empty one."""
        return self._pa.Table.from_batches(batches or [self.take()])

    @staticmethod
    def _check(rows: list[dict[str, Any]], dimensions: int) -> None:
        for row in rows if dimensions else ():
            vector = row["embedding"]
            if vector is not None and len(vector) != dimensions:
                raise ConfigError(
                    f"the vector of input {row['input_id'] or row['position']} has {len(vector)} numbers, not "
                    f"{dimensions} as the column: give dimensions=0 for lists of any length"
                )


def _vectors(pa: Any, vectors: list[memoryview | None], dimensions: int) -> Any:
    """Make the column of vectors: one buffer of their numbers. A vector that is alone stays in its own memory."""
    missing = bytes(4 * dimensions)
    parts = [missing if vector is None else vector for vector in vectors]
    joined = parts[0] if len(parts) == 1 else b"".join(parts)
    count = memoryview(joined).nbytes // 4
    numbers = pa.Array.from_buffers(pa.float32(), count, [None, pa.py_buffer(joined)])
    absent = pa.array([vector is None for vector in vectors], pa.bool_())
    if dimensions:
        return pa.FixedSizeListArray.from_arrays(numbers, dimensions, mask=absent)
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), numbers, mask=absent)
