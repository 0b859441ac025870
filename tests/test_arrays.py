"""Arrays on the disk hold what was written, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from oresight.tasks.arrays.arrow import joined, matrix, on_disk
from oresight.tasks.arrays.ondisk import Growing, side_by_side, stacked
from oresight.tasks.detection.chunks import CHUNK, chunks


def test_an_array_holds_the_blocks_that_were_written_and_its_file_has_no_name(tmp_path: Path) -> None:
    growing = Growing(tmp_path, np.float32)
    rows = np.arange(12, dtype=np.float64).reshape(4, 3)
    growing.append(rows[:3:2])
    growing.append(rows[1:, ::-1])
    array = growing.array()
    assert array.dtype == np.float32
    assert array.tolist() == [*rows[:3:2].tolist(), *rows[1:, ::-1].tolist()]
    assert array[np.array([4, 0])].tolist() == [rows[3, ::-1].tolist(), rows[0].tolist()]
    assert list(tmp_path.iterdir()) == []


def test_an_array_without_rows_keeps_its_width(tmp_path: Path) -> None:
    assert Growing(tmp_path, np.int8, 5).array().shape == (0, 5)
    assert side_by_side(np.empty((0, 2)), np.empty((0, 3)), tmp_path).shape == (0, 5)
    assert stacked([np.empty((0, 0)), np.ones((2, 3))], tmp_path).tolist() == [[1, 1, 1]] * 2


def test_arrays_are_put_beside_and_below_each_other_block_by_block(tmp_path: Path) -> None:
    left, right = np.random.default_rng(0).normal(size=(2, CHUNK + 3, 2))
    assert [len(left[block]) for block in chunks(len(left))] == [CHUNK, 3]
    assert (side_by_side(left, right, tmp_path) == np.hstack([left, right])).all()
    assert (stacked([left, right], tmp_path) == np.vstack([left, right]).astype(np.float32)).all()


def test_lists_become_rows_also_from_the_middle_of_a_column() -> None:
    lists = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int8()))
    assert matrix(lists[1:]).tolist() == [[3, 4], [5, 6]]
    texts = joined(pa.chunked_array([["a"], ["b"]]), pa.chunked_array([["c", "d"]])[1:])
    assert texts.to_pylist() == ["a", "b", "d"]


def test_a_table_on_the_disk_holds_the_batches_that_were_written_and_its_file_has_no_name(tmp_path: Path) -> None:
    batches = [pa.record_batch({"id": ["a", "b"], "n": [1, None]}), pa.record_batch({"id": ["c"], "n": [3]})]
    table = on_disk(iter(batches), batches[0].schema, tmp_path)
    assert table.to_pylist() == [{"id": "a", "n": 1}, {"id": "b", "n": None}, {"id": "c", "n": 3}]
    assert list(tmp_path.iterdir()) == []
    assert on_disk(iter(()), batches[0].schema, tmp_path).equals(batches[0].schema.empty_table())
