"""One line gives what the database holds to those who work with pandas."""

from pathlib import Path

import pytest

import oresight
from tests.test_publish import release, some
from tests.test_split import settings


def test_each_view_is_a_frame(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    release(config, some())
    database = oresight.read(config.database)
    assert {"scores", "flags", "split_rows", "lineage", "stale_scores"} <= set(dir(database))
    scores = database.scores()
    assert sorted(scores["value"]) == [float(n) for n in range(10)]
    assert database.sql("SELECT count(*) AS n FROM split_rows WHERE decision = ?", "keep")["n"][0] == 8
    for view in [name for name in dir(database) if name not in dir(type(database)) and name != "database"]:
        assert list(getattr(database, view)().columns), view


def test_a_view_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    release(config, some())
    with pytest.raises(AttributeError, match="has no view 'score'; there are: approvals"):
        oresight.read(config.database).score()
    with pytest.raises(ValueError, match="no such database"):
        oresight.read(str(tmp_path / "none.duckdb")).sql("SELECT 1")


def test_a_frame_is_read_only(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    release(config, some())
    with pytest.raises(Exception, match="read-only"):
        oresight.read(config.database).sql("DELETE FROM store.rows")
