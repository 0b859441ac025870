"""Scores -> rows with their packed vectors, which are on the disk: those of ten million rows take 4 GB."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oresight.tasks.arrays.arrow import matrix, on_disk
from oresight.tasks.arrays.ondisk import Growing
from oresight.tasks.database import Connection, execute
from oresight.tasks.detection.chunks import CHUNK
from oresight.tasks.matching.policy import Candidates
from oresight.tasks.matching.similarity import Ints, Vectors

LISTS = "vector", "text_state"


@dataclass(frozen=True)
class Packed:
    """Rows with their vectors."""

    sample_ids: pa.ChunkedArray
    part_N: pa.DictionaryArray
    """The part of the dataset, by splitting.per, that each row is in."""
    vectors: Vectors
    candidates: Candidates
    order_N: Ints
    """The rows in the random order that the seed decides, or in the order of the query."""

    def parts(self) -> Iterator[tuple[str | None, Ints]]:
        """Each part with its rows, in their random order."""
        code_N = self.part_N.indices.fill_null(-1).to_numpy()[self.order_N]
        names = {-1: None} | dict(enumerate(self.part_N.dictionary.to_pylist()))
        codes, first = np.unique(code_N, return_index=True)
        for code in codes[np.argsort(first)].tolist():
            yield names[code], self.order_N[code_N == code]


def read_vectors(connection: Connection, query: str, values: Mapping[str, Any], folder: Path) -> Packed:
    """The rows of a query, in its order. folder: where the files without a name are."""
    table, (vector_NM, text_NS) = read_lists(connection, query, values, LISTS, folder)
    n = len(table)
    order_N = np.arange(n)
    if "draw" in table.column_names:
        keys = [("draw", "ascending"), ("sample_id", "ascending")]
        order_N = pc.sort_indices(table, sort_keys=keys).to_numpy().astype(np.int64)
    part_N = table["part"] if "part" in table.column_names else pa.chunked_array([pa.nulls(n, pa.string())])
    return Packed(
        sample_ids=table["sample_id"],
        part_N=part_N.combine_chunks().dictionary_encode(),
        vectors=Vectors(vector_NM, text_NS, _numbers(table, "text_unit", np.float32)),
        candidates=Candidates(
            _numbers(table, "answer_tokens", np.int64),
            _numbers(table, "suspicion", np.float64),
            _numbers(table, "p_value", np.float64),
        ),
        order_N=order_N,
    )


def _numbers(table: pa.Table, name: str, dtype: type) -> NDArray[Any]:
    """A column; NaN, or 0 for whole numbers, where the query lacks it."""
    missing = 0 if dtype is np.int64 else np.nan
    column = table[name].to_numpy() if name in table.column_names else np.full(len(table), missing)
    return column.astype(dtype)


def read_lists(
    connection: Connection, query: str, values: Mapping[str, Any], lists: Sequence[str], folder: Path
) -> tuple[pa.Table, list[NDArray[np.int8]]]:
    """The rows of a query: a table of its other columns, and for each column of lists an array, all on the disk."""
    reader = execute(connection, query, values).to_arrow_reader(CHUNK)
    arrays = {name: Growing(folder, np.int8) for name in lists}

    def others() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            for name, array in arrays.items():
                array.append(matrix(batch[name]))
            yield batch.drop_columns(list(lists))

    schema = pa.schema([reader.schema.field(name) for name in reader.schema.names if name not in lists])
    return on_disk(others(), schema, folder), [array.array() for array in arrays.values()]
