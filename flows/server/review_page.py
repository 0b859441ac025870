"""The page on which a person reviews flagged rows, one at a time or as a list, all of them or those of a filter."""

from asyncio import to_thread
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from starlette.datastructures import QueryParams

from oresight.flows.server.review_bulk import Bulk
from oresight.flows.server.review_filter import FilterBar
from oresight.flows.server.review_list import show_list
from oresight.flows.server.row_page import RowPage
from oresight.tasks.pages.highlight import highlighted
from oresight.tasks.pages.texts import beginning, short_id
from oresight.tasks.review import Page, newest_bulk, precision, standing
from oresight.tasks.reviewing.queue import (
    PAGE_ROWS,
    Facets,
    Filter,
    Queue,
    find_row,
    read_neighbours,
    read_queue,
    read_row,
    read_rows,
)
from oresight.tasks.runs.record import Run

REPORT = "/report"
"""Address of the report, if the run has written one."""


class Review(RowPage):
    """The state of one visitor of the review page: a filter, the ids of its rows, and the position among them."""

    page: Page = "review"
    title = "oresight review"
    empty = "No row is flagged with a warning or scored, so there is nothing to review."
    question = "Is this answer right?"
    relabel, relabel_key = "relabel", "R"
    summary_id = "precision"

    def __init__(self, run: Run, who: str) -> None:
        super().__init__(run.config, who)
        self.run, self.filter, self.facets, self.queue = run, Filter(), Facets(), Queue()
        self.is_list = False
        self.outside = ""
        """sample_id of a row that is shown though it is not among the rows of the filter."""
        self.listed: list[dict[str, Any]] = []
        self.decided = 0
        self.precision: list[dict[str, Any]] = []
        self.bulk = Bulk(self)

    @classmethod
    async def open(cls, run: Run, who: str, query: QueryParams) -> None:
        """Build the page for a visitor, as the query of the URL says."""
        page = cls(run, who)
        await page.select(Filter.from_query(query))
        page.is_list = query.get("view") == "list"
        problem = ""
        if beginning := query.get("id", "").strip():
            try:
                await page.jump(beginning)
            except ValueError as error:
                problem = str(error)
        elif query.get("page", "").isdecimal():
            page.position = max(min((int(query["page"]) - 1) * PAGE_ROWS, len(page.queue) - 1), 0)
        await page.load()
        await page.recount()
        page.build()
        page.state_url()
        if problem:
            ui.notify(problem, type="negative", timeout=0, close_button=True)

    async def select(self, chosen: Filter) -> None:
        """Read the rows of a filter, and go to the first that nobody has decided about."""
        self.queue, self.facets = await to_thread(read_queue, self.run, chosen)
        self.filter, self.position, self.outside = chosen, self.queue.first, ""

    async def jump(self, beginning: str) -> None:
        """Go to the row whose sample_id begins so, also if the filter does not let it pass."""
        sample_id = await to_thread(find_row, self.run, beginning)
        position = self.queue.position(sample_id)
        self.outside = sample_id if position < 0 else ""
        self.position = self.queue.first if self.outside else position
        self.is_list = False

    def total(self) -> int:
        return len(self.queue)

    async def load(self) -> None:
        """Read the row that is shown, or the rows of the list."""
        shown = self.outside or (self.queue.ids[self.position].as_py() if len(self.queue) else "")
        begin = self.position - self.position % PAGE_ROWS
        if self.is_list:
            self.listed = await to_thread(read_rows, self.run, self.queue.ids[begin : begin + PAGE_ROWS])
        self.row = await to_thread(read_row, self.run, shown) if shown and not self.is_list else None

    async def recount(self) -> None:
        """Read how many rows of the filter are decided, how right the flags were, and what can be taken back."""
        counts = await to_thread(standing, self.config, self.queue.ids)
        self.decided = sum(count["rows"] for count in counts if count["who"])
        self.precision = await to_thread(precision, self.config)
        self.bulk.newest = await to_thread(newest_bulk, self.config, self.who)

    def place(self) -> str:
        """The position among the rows of the filter, their number, and how many are decided."""
        what = "flagged rows" if self.facets.are_flagged else "rows that look most suspicious (none is flagged)"
        where = f"row {short_id(self.outside)}, which is not among the" if self.outside else f"{self.position + 1:,} of"
        if self.is_list:
            begin = self.position - self.position % PAGE_ROWS
            where = f"{begin + 1:,} to {min(begin + PAGE_ROWS, len(self.queue)):,} of"
        of_all = f" (of {self.facets.all_rows:,})" if self.filter.parts else ""
        return f"{where} {len(self.queue):,} {what}{of_all}, {self.decided:,} decided"

    def result(self) -> list[str]:
        """How often people confirmed the flags of each check."""
        return [
            f"{check['check_name']}: {check['confirmed']:.0f} of {check['reviewed']} flags reviewed are confirmed,"
            f" precision {check['precision']:.0%} ({max(check['low'], 0):.0%} to {check['high']:.0%})"
            for check in self.precision
        ]

    def keys(self) -> dict[str, str]:
        return super().keys() | {"L": "list or single row", "/#ID": "in the address: the row with that sample_id"}

    def build_head(self) -> None:
        """The report, and the way between list and row."""
        super().build_head()
        report = report_path(self.run)
        if report.is_file():
            ui.link("report", REPORT, new_tab=True).tooltip(str(report.absolute()))
        text = str(report) if report.is_file() else "no report yet"
        ui.label(text).classes("text-xs muted gt-sm").props("data-testid=report")
        ui.button(on_click=self.toggle, icon="list").props('flat dense aria-label="list or row"').tooltip("list (L)")

    def build_body(self) -> None:
        """The filter, and the rows of it."""
        FilterBar(self.filter, self.facets, self.apply)
        self.bulk.show()
        super().build_body()
        self.why.bind_visibility_from(self, "is_list", value=False)

    def build_buttons(self) -> None:
        with ui.row().classes("gap-2 justify-center").bind_visibility_from(self, "is_list", value=False):
            super().build_buttons()
        with ui.row().classes("gap-2").bind_visibility_from(self, "is_list"):
            ui.button("← page", on_click=lambda: self.go(-PAGE_ROWS)).props("flat dense no-caps")
            ui.button("page →", on_click=lambda: self.go(PAGE_ROWS)).props("flat dense no-caps")

    def build_row(self) -> None:
        """Build the row, or the list."""
        if not self.facets.all_rows or (self.row and not self.is_list):
            super().build_row()
            return
        if not len(self.queue):
            ui.label(f"No row passes the filter: {self.filter}.").props("data-testid=place")
            return
        ui.label(self.place()).props("data-testid=place")
        show_list(self.listed, self.url, self.show_only)

    def show_answer(self, row: dict[str, Any]) -> None:
        """The answer with its tokens coloured, and the evidence for and against it."""
        ui.html(answer_html(row), sanitize=False).classes("row-text text-lg w-full").props("data-testid=answer")
        if row["model_answer"] is not None:
            ui.label(f"the model's own answer: {row['model_answer']}").classes("muted")
        for flag in row["flags"] or []:
            ui.label(f"{flag['check']}: {flag['reason']}").classes("reason text-sm")
        if row["suspicion"] is not None:
            like = f", most like {row['looks_like']}" if row["looks_like"] else ""
            ui.label(f"suspicion {row['suspicion']:.2f}, q {row['q_value']:.3g}{like}").classes("text-sm muted")
        with ui.expansion("rows that speak for and against this answer").classes("w-full") as expansion:
            neighbours = ui.column().classes("w-full gap-1")
        expansion.on_value_change(lambda event: self.show_neighbours(neighbours, row) if event.value else None)

    async def show_neighbours(self, column: ui.column, row: dict[str, Any]) -> None:
        """Show the rows that speak for and against an answer. They are read when they are asked for, once."""
        if "influences" not in row:
            row |= await to_thread(read_neighbours, self.run, row["sample_id"])
        column.clear()
        with column:
            for other in row["influences"]:
                effect = "raises" if other["value"] > 0 else "lowers"
                text = f"trusted row, {effect} the value: {other['prompt']} → {other['answer']}"
                ui.label(text).classes("text-sm")
            for other in row["neighbours"]:
                ui.label(f"similar row without a flag: {other['prompt']} → {other['answer']}").classes("text-sm")

    def url(self, sample_id: str = "") -> str:
        """The address of a row with the present filter; by default that of what is shown."""
        query = self.filter.parts
        if self.is_list and not sample_id:
            query |= {"view": "list", "page": str(self.position // PAGE_ROWS + 1)}
        elif sample_id or self.row:
            query["id"] = short_id(sample_id or (self.row or {})["sample_id"])
        return "/?" + urlencode(query)

    def state_url(self, *, is_new: bool = False) -> None:
        """Let the browser's address state what is shown. is_new: the back button leads to what was shown before."""
        (ui.navigate.history.push if is_new else ui.navigate.history.replace)(self.url())

    async def move(self, steps: int, *, is_new: bool = False) -> None:
        self.outside, steps = "", 0 if self.outside else steps
        await super().move(steps)
        self.bulk.show.refresh()
        self.state_url(is_new=is_new)

    async def apply(self, chosen: Filter) -> None:
        """Show the rows of another filter."""
        async with self.turn:
            await self.select(chosen)
            await self.recount()
            await self.move(0, is_new=True)

    async def show_only(self, sample_id: str) -> None:
        """Show a row of the list alone."""
        async with self.turn:
            self.is_list, self.position = False, max(self.queue.position(sample_id), 0)
            await self.move(0, is_new=True)

    async def toggle(self) -> None:
        """Change between the list and the single row."""
        async with self.turn:
            self.is_list = not self.is_list
            await self.move(0, is_new=True)

    async def pressed(self, key: str) -> None:
        if key == "l":
            await self.toggle()
        elif self.is_list and key.startswith("arrow"):
            await self.go({"arrowleft": -PAGE_ROWS, "arrowright": PAGE_ROWS}.get(key, 0))
        else:
            await super().pressed(key)


def report_path(run: Run) -> Path:
    """Where `oresight report` writes the report."""
    return Path(run.config.publishing.folder) / run.config.splitting.name / "report.html"


def answer_html(row: dict[str, Any]) -> str:
    """The answer as HTML, each token coloured by its value as in the report. Text of rows is escaped."""
    parts = []
    for text, token in highlighted(beginning(row["answer"]), row["token_shares"]):
        if token is None:
            parts.append(escape(text))
            continue
        color = "0, 120, 60" if token["share"] > 0 else "200, 0, 0"
        title = f"value {token['value']:.3g}, log-probability {token['logprob']:.2f}"
        style = f"background: rgba({color}, {0.6 * abs(token['share']):.2f})"
        parts.append(f'<span title="{title}" style="{style}">{escape(text)}</span>')
    return "".join(parts)
