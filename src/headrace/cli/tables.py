"""`-o FILE.parquet` and `-o FILE.arrow`: results as a table in a file, and `-o csv` as one on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.render import CsvTable, Table
from headrace.cli.run import say
from headrace.cli.terminal import counted

if TYPE_CHECKING:
    from headrace import Prediction
    from headrace.cli.options import Options


def table_of(options: Options) -> Table | None:
    """Make the table that the options ask for, None where they ask for none.

    Raises:
        click.UsageError: the file already exists.
        ConfigError: pyarrow isn't installed.
    """
    if options.table is not None:
        return TableFile(options)
    if options.output == "csv":
        return CsvTable()
    return None


class TableFile:
    """Writes a Parquet or Arrow file, and says where on stderr; nothing is there before it is complete.

    Raises:
        click.UsageError: the file already exists.
        ConfigError: pyarrow isn't installed.
    """

    def __init__(self, options: Options) -> None:
        from headrace.tables import TableWriter

        assert options.table is not None
        if options.table.exists() and not options.force:
            raise click.UsageError(f"{options.table} already exists; --force overwrites it")
        self._writer = TableWriter(options.table)
        self._finished = False

    def add(self, prediction: Prediction, source: str) -> None:
        """Write the row of one prediction; those of a batch are several."""
        self._writer.write(prediction, source)

    def finish(self) -> None:
        """Complete the file, once."""
        if not self._finished:
            self._finished = True
            self._writer.close()
            say(f"wrote {self._writer.path} ({counted(self._writer.rows, 'row')})")
