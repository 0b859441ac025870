"""Verdicts on all rows of the filter at once, which one click takes back, and the flags as a file."""

from asyncio import to_thread
from typing import TYPE_CHECKING, Any, Literal

from nicegui import ui

from oresight.tasks.review import decide_all, standing, undo_bulk
from oresight.tasks.reviewing.export import CSV_NOTE, FORMATS

if TYPE_CHECKING:
    from oresight.flows.server.review_page import Review

PAST = {"keep": "kept", "drop": "dropped"}


class Bulk:
    """The part of the review page that acts on all rows of the filter."""

    def __init__(self, review: "Review") -> None:
        self.review = review
        self.newest: dict[str, Any] | None = None
        """The visitor's last verdict on many rows: bulk, verdict, rows."""

    @ui.refreshable_method
    def show(self) -> None:
        """Show the buttons, with the number of rows."""
        review = self.review
        with ui.row().classes("items-center gap-2 w-full text-sm"):
            if len(review.queue):
                ui.label(f"{len(review.queue):,} rows:").props("data-testid=count")
                verdicts: tuple[Literal["keep", "drop"], ...] = ("keep", "drop")
                for verdict in verdicts:
                    button = ui.button(f"{verdict} all", on_click=lambda verdict=verdict: self._confirm(verdict))
                    button.props("outline dense no-caps").classes("px-2")
                for name in FORMATS:
                    query = f"?{review.filter.query}" if review.filter.parts else ""
                    link = ui.link(name, f"/flags.{name}{query}").props(f"download=flags.{name}")
                    link.tooltip(f"the flags of these rows as a file; {CSV_NOTE}")
            if self.newest:
                text = f"undo: {self.newest['rows']:,} rows {PAST[self.newest['verdict']]}"
                ui.button(text, on_click=self._undo).props("flat dense no-caps data-testid=undo-bulk")

    async def _confirm(self, verdict: Literal["keep", "drop"]) -> None:
        """Ask, with the numbers, and then store the verdicts."""
        review, replaces = self.review, self.review.filter.replaces
        ids, chosen = review.queue.ids, review.filter
        counts = await to_thread(standing, review.config, ids)
        count = sum(row["rows"] for row in counts if row["verdict"] == replaces != verdict)
        dialog = review.dialog
        dialog.clear()
        with dialog, ui.card().props("data-testid=confirm"):
            ui.label(f"{verdict.capitalize()} {count:,} of the {len(ids):,} rows that are shown?").classes("font-bold")
            ui.label(f"Filter: {chosen}").classes("muted")
            for line in _standing_lines(counts, replaces, verdict):
                ui.label(line)
            why = ui.input("reason (optional)").classes("w-full")
            with ui.row():
                if count:
                    ui.button(f"{verdict} {count:,} rows", on_click=lambda: dialog.submit(True)).props("no-caps")
                ui.button("cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
        if not await dialog:
            return
        async with review.turn:
            reason = ", ".join(text for text in ((why.value or "").strip(), f"all shown ({chosen})") if text)
            await self._store(
                lambda: decide_all(review.config, ids, verdict, replaces=replaces, why=reason, who=review.who),
                f"rows {PAST[verdict]}", expected=count,
            )  # fmt: skip

    async def _undo(self) -> None:
        async with self.review.turn:
            if bulk := self.newest:
                await self._store(
                    lambda: undo_bulk(self.review.config, bulk["bulk"], self.review.who),
                    "rows have the verdict again that they had before", expected=bulk["rows"],
                )  # fmt: skip

    async def _store(self, change: Any, done: str, *, expected: int) -> None:
        """Make a change, say how many rows it changed, and show what is there now."""
        count = await to_thread(change)
        others = f"; {expected - count:,} rows were decided in the meantime and stay" if count < expected else ""
        ui.notify(f"{count:,} {done}{others}", type="positive")
        await self.review.select(self.review.filter)
        await self.review.recount()
        await self.review.move(0)
        self.review.show_result.refresh()


def _standing_lines(counts: list[dict[str, Any]], replaces: str, verdict: str) -> list[str]:
    """What happens to the rows, by their present verdict and who gave it."""
    lines = []
    for row in counts:
        name = "without a verdict" if row["verdict"] == "undecided" else f"with {row['verdict']} by {row['who']}"
        changes = row["verdict"] == replaces != verdict
        lines.append(f"{row['rows']:,} rows {name}: {f'become {verdict}' if changes else 'stay as they are'}")
    return lines
