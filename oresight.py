"""The database as pandas: `import oresight; oresight.read("oresight.duckdb").scores()`."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from tasks.database import reading


class Database:
    """Each view of the database is a method that gives it as a frame: `.scores()`, `.flags()`, `.split_rows()`."""

    def __init__(self, database: str) -> None:
        self.database = database

    def sql(self, question: str, *values: Any) -> pd.DataFrame:
        """The answer to a question; `values` take the places of its question marks. Reads only, and no files.

        Raises ValueError if there is no such database, duckdb.Error if it is no question that the database can answer.
        """
        with reading(self.database, guarded=True) as connection:
            return connection.execute(question, list(values)).df()

    def __getattr__(self, view: str) -> Callable[[], pd.DataFrame]:
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
    """The database, which a run may be writing: each question waits until the file is free, for a moment."""
    return Database(database)
