"""Flags as a file for a spreadsheet (CSV) or for a program (Parquet)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from oresight.tasks.database import execute, reading
from oresight.tasks.pages.texts import FORMULA
from oresight.tasks.reviewing.queue import Filter, matching
from oresight.tasks.runs.record import Run

FORMATS = ("csv", "parquet")
CSV_NOTE = "in the CSV file, an apostrophe stands before a text that begins with = + - @ or a tab"


def export_flags(run: Run, file: Path, chosen: Filter | None = None) -> int:
    """Write one line per row of the review queue that passes a filter. Returns the count of the rows.

    The file appears when it is complete. Raises ValueError if its name does not end in .csv or .parquet, or if its
    folder does not exist.
    """
    if file.suffix.lstrip(".").lower() not in FORMATS:
        raise ValueError(f"--export: {file}: the name must end in .csv or .parquet")
    if not file.parent.is_dir():
        raise ValueError(f"--export: {file.parent.absolute()}: no such folder; make it, or give another path")
    unfinished, count = file.with_name(f"{file.name}.unfinished"), 0
    try:
        with reading(run.config.database) as connection:
            connection.register("rows_to_export", matching(connection, run, chosen or Filter()))
            lines = execute(connection, "review_export", {"dataset": run.config.dataset.name}).to_arrow_reader(10_000)
            with _writer(unfinished, file.suffix.lower(), lines.schema) as writer:
                for batch in lines:
                    writer.write_batch(_without_formulas(batch) if file.suffix.lower() == ".csv" else batch)
                    count += batch.num_rows
        unfinished.replace(file)
    except (PermissionError, IsADirectoryError) as error:
        raise ValueError(f"--export: {file}: cannot be written ({error.strerror}); give another path") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _writer(file: Path, suffix: str, schema: pa.Schema) -> pa.csv.CSVWriter | pq.ParquetWriter:
    return pa.csv.CSVWriter(file, schema) if suffix == ".csv" else pq.ParquetWriter(file, schema)


def _without_formulas(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with an apostrophe before each text that a spreadsheet would take for a formula."""
    columns = [
        pc.if_else(pc.match_substring_regex(column, FORMULA), pc.binary_join_element_wise("'", column, ""), column)
        if pa.types.is_string(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
