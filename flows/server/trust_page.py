"""The page on which a person makes trusted rows from a diverse sample of all rows.

It does not show what the model says of them: a person who sees that decides another way.
"""

from asyncio import to_thread
from collections.abc import Callable
from typing import Any

from nicegui import ui
from starlette.datastructures import QueryParams

from oresight.flows.server.row_page import RowPage
from oresight.tasks.config import Curate
from oresight.tasks.pages.texts import beginning
from oresight.tasks.review import Page


class Trust(RowPage):
    """The state of one visitor of the trust page: the sample and the position in it."""

    page: Page = "trust"
    title = "oresight trust"
    empty = "The dataset has no row that is not trusted already."
    question = "Do you want your model to answer like this?"
    relabel, relabel_key = "correct", "C"
    summary_id = "trusted"

    def __init__(self, config: Curate, who: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(config, who)
        self.rows = rows
        self.position = next((i for i, row in enumerate(rows) if not row["verdict"]), 0)
        self.row = rows[self.position] if rows else None
        self.verdicts: list[str | None] = []

    @classmethod
    async def open(cls, config: Curate, who: str, rows: Callable[[], list[dict[str, Any]]], _: QueryParams) -> None:
        """Build the page for a visitor. rows: reads the sample."""
        page = cls(config, who, await to_thread(rows))
        await page.recount()
        page.build()

    def total(self) -> int:
        return len(self.rows)

    async def load(self) -> None:
        self.row = self.rows[self.position] if self.rows else None

    async def recount(self) -> None:
        self.verdicts = [row["verdict"] for row in self.rows]

    def place(self) -> str:
        decided = len(self.rows) - self.verdicts.count(None)
        return f"{self.position + 1:,} of {len(self.rows):,} rows, {decided:,} decided"

    def show_answer(self, row: dict[str, Any]) -> None:
        ui.label(beginning(row["answer"])).classes("row-text text-lg w-full")

    def result(self) -> list[str]:
        """How many rows are trusted, and what to do next."""
        verdicts = self.verdicts
        trusted, corrected = len(verdicts) - verdicts.count(None) - verdicts.count("drop"), verdicts.count("relabel")
        after = "" if None in verdicts else "; `oresight curate` uses them, and --rows offers more"
        return [f"{trusted} rows are trusted, {corrected} of them corrected{after}"]
