"""The database as pandas: `import oresight; oresight.read("oresight.duckdb").scores()`.

In a clone this module is the package too: `oresight.tasks` is the folder `tasks` beside it. See hatch_build.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

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
