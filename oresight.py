"""Oresight in Python: `oresight.curate(rows, trusted)` on rows in memory, `oresight.read(FILE)` for its database.

In a clone this module is the package too: `oresight.tasks` is the folder `tasks` beside it. See hatch_build.py.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from oresight.flows.api.results import Curated, Scored

__path__ = [str(Path(__file__).parent)]


class Database:
    """Each view of the database is a method that returns it as a frame: `.scores()`, `.flags()`, `.split_rows()`."""

    def __init__(self, database: str) -> None:
        self.database = database

    def sql(self, question: str, *values: Any) -> "pd.DataFrame":
        """The answer to a query. `values` replace its question marks. The query cannot write and cannot read files.

        Raises ValueError if there is no such database, duckdb.Error if the database cannot run the query.
        """
        from oresight.tasks.database import reading  # here, so that `import oresight` is quick

        with reading(self.database, guarded=True) as connection:
            return connection.execute(question, list(values)).df()

    def __getattr__(self, view: str) -> Callable[[], "pd.DataFrame"]:
        """Raises AttributeError if there is no such view."""
        if view.startswith("_") or view not in dir(self):
            raise AttributeError(f"{self.database} has no view {view!r}; there are: {', '.join(self._views())}")
        return lambda: self.sql(f'FROM "{view}"')

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._views()]

    def _views(self) -> list[str]:
        question = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY ALL"
        return list(self.sql(question)["view_name"])


def read(database: str = "oresight.duckdb") -> Database:
    """Open a database for queries. A query waits for a moment if a run is writing to the file."""
    return Database(database)


def score(
    rows: Any,
    trusted: Any = None,
    *,
    model: str | Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    database: str | Path | None = None,
    **sections: Mapping[str, Any],
) -> "Scored":
    """Score rows and flag those that look wrong beside rows that you trust. Nothing is written to the current folder.

    Args:
        rows: A pandas frame, a list of dicts, a `datasets.Dataset`, a pyarrow table, or a path as in the configuration.
        trusted: The rows that you trust, in any of these forms. Without them rows are checked but not judged.
        model: The model that scores, by name or as the section `model` of the configuration. Default: the embedded one.
        columns: The columns that hold the parts of a row, if they have no usual name: {"prompt": "q", "answer": "a"}.
            They hold for `trusted` too, if it has them.
        database: A DuckDB file that keeps everything, so that a later call scores only what is new. Default: a
            temporary one.
        **sections: Sections of the configuration: scoring={"max_tokens": 512}.

    Raises:
        ValueError: One sentence: the rows, the layout or a setting cannot be used.
    """
    settings = {"model": model, "columns": columns, "database": database}
    result: Scored = _run(rows, trusted, settings | sections, is_split=False)
    return result


def curate(
    rows: Any,
    trusted: Any = None,
    *,
    model: str | Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    database: str | Path | None = None,
    folder: str | Path | None = None,
    **sections: Mapping[str, Any],
) -> "Curated":
    """Score and flag rows as `score` does, and decide which to train on: `.kept` holds these rows as they were given.

    Args:
        rows: As for `score`.
        trusted: As for `score`.
        model: As for `score`.
        columns: As for `score`.
        database: As for `score`; with a folder, the default is FOLDER/oresight.duckdb.
        folder: The folder where the split and its report are published. Default: nothing is published.
        **sections: Sections of the configuration: splitting={"rows": 100}.

    Raises:
        ValueError: As `score` does.
        oresight.tasks.runs.record.Refused: A critical check or the gate refused to publish.
    """
    settings = {"model": model, "columns": columns, "database": database, "folder": folder}
    result: Curated = _run(rows, trusted, settings | sections, is_split=True)
    return result


def _run(rows: Any, trusted: Any, settings: dict[str, Any], *, is_split: bool) -> Any:
    """Call the pipeline. It is imported here, so that `import oresight` is quick."""
    has_bars = "TQDM_DISABLE" not in os.environ
    import oresight.flows  # noqa: F401  switches progress bars off, for the command line

    if has_bars:
        os.environ.pop("TQDM_DISABLE", None)
    from oresight.flows.api import run

    return run(rows, trusted, settings, is_split=is_split)
