"""One row after another, on which a person decides keep, drop or another answer with one key."""

import asyncio
from abc import ABC, abstractmethod
from asyncio import to_thread
from typing import Any

from nicegui import ui

from oresight.tasks.config import Curate
from oresight.tasks.pages.texts import beginning, short_id
from oresight.tasks.review import DecidedMeanwhile, Page, Verdict, decide

KEYS: dict[str, Verdict] = {"k": "keep", "d": "drop", "u": "undo"}
COLORS = {"keep": "green-9", "drop": "red-9", "relabel": "blue-9"}


class RowPage(ABC):
    """The state of one visitor: the row that is shown, and its position among the rows to decide about."""

    page: Page
    title: str
    question: str
    empty: str
    relabel: str
    relabel_key: str
    summary_id: str

    def __init__(self, config: Curate, who: str) -> None:
        self.config, self.who = config, who
        self.position = 0
        self.row: dict[str, Any] | None = None
        self.turn = asyncio.Lock()
        """Held by one event at a time, so that a key that is pressed early is for the next row."""

    @abstractmethod
    def total(self) -> int:
        """How many rows there are to decide about."""

    @abstractmethod
    async def load(self) -> None:
        """Read the row at the position."""

    @abstractmethod
    async def recount(self) -> None:
        """Read what has come of the verdicts. Called after each of them."""

    @abstractmethod
    def place(self) -> str:
        """Where the row is among the others, and how many are decided."""

    @abstractmethod
    def show_answer(self, row: dict[str, Any]) -> None:
        """Show the answer and what there is to say of it."""

    @abstractmethod
    def result(self) -> list[str]:
        """What has come of the verdicts, in lines."""

    def keys(self) -> dict[str, str]:
        """What each key does."""
        return {
            "K": "keep", "D": "drop", self.relabel_key: f"{self.relabel}: give the right answer",
            "U": "take the verdict back", "←": "back", "→": "next", "?": "this list",
        }  # fmt: skip

    def build(self) -> None:
        """Build the page: the head, the row, the result so far, and the buttons at the bottom."""
        ui.keyboard(on_key=self._pressed, ignore=["input", "select", "textarea"])
        self.dialog = ui.dialog()
        with ui.header().classes("items-center gap-3 px-3 py-1"):
            ui.label(self.title).classes("font-bold")
            ui.label(self.config.dataset.name).props("data-testid=dataset")
            self.build_head()
            ui.button("?", on_click=self.show_keys).props("flat dense round").tooltip("keys")
        with ui.column().classes("w-full max-w-5xl mx-auto gap-2"):
            self.build_body()
        with ui.footer().classes("justify-center gap-2 px-2 py-1"):
            self.build_buttons()

    def build_head(self) -> None:
        """Build what the head of the page has beside the names."""
        ui.space()

    def build_body(self) -> None:
        """Build what stands between head and buttons."""
        self.show_row()
        self.answer = ui.textarea("the right answer, then Enter; Shift+Enter is a new line").classes("w-full")
        self.answer.props("autogrow").on("keydown.enter.exact.prevent", lambda: self._decide("relabel"))
        self.answer.visible = False
        self.why = ui.input("reason (optional): write it, press Enter, then give the verdict").classes("w-full")
        self.why.on("keydown.enter", lambda: self.why.run_method("blur"))  # so that keys give verdicts again
        self.show_result()

    def build_buttons(self) -> None:
        """Build the buttons that decide about a row, and those that go to another one."""
        self._button("keep", "K", lambda: self._decide("keep"), COLORS["keep"])
        self._button("drop", "D", lambda: self._decide("drop"), COLORS["drop"])
        self._button(self.relabel, self.relabel_key, self._relabel, COLORS["relabel"])
        self._button("undo", "U", lambda: self._decide("undo"), "grey-8")
        ui.button("←", on_click=lambda: self.go(-1)).props('flat dense aria-label="back"')
        ui.button("→", on_click=lambda: self.go(1)).props('flat dense aria-label="next"')

    @staticmethod
    def _button(text: str, key: str, on_click: Any, color: str) -> None:
        with ui.button(on_click=on_click, color=color).props("no-caps dense").classes("px-3"):
            ui.label(text)
            ui.label(f"({key})").classes("key-hint pl-1")

    @ui.refreshable_method
    def show_row(self) -> None:
        """Show the row at the position, again after each move."""
        self.build_row()

    def build_row(self) -> None:
        """Build the row at the position."""
        row = self.row
        if row is None:
            ui.label(self.empty)
            return
        ui.label(self.place()).props("data-testid=place")
        ui.label(self.question).classes("muted")
        if row["verdict"]:
            verdict = self.relabel if row["verdict"] == "relabel" else row["verdict"]
            text = f"{verdict} by {row['who']}" + (f": {beginning(row['right_answer'])}" if row["right_answer"] else "")
            chip = ui.chip(text, color=COLORS[row["verdict"]], text_color="white").props("data-testid=verdict")
            chip.classes("max-w-full")
        for picture in row["pictures"]:
            if picture["data"]:
                ui.image(f"data:image/jpeg;base64,{picture['data']}").classes("w-64").style(
                    "image-rendering: pixelated"
                )
        ui.label(beginning(row["prompt"])).classes("row-text w-full max-h-96 overflow-auto").props("data-testid=prompt")
        self.show_answer(row)
        ui.label(f"{short_id(row['sample_id'])}, {row['source_file']}, line {row['source_line']}").classes(
            "text-xs muted"
        )

    @ui.refreshable_method
    def show_result(self) -> None:
        """Show what has come of the verdicts."""
        for line in self.result():
            ui.label(line).classes("text-sm muted").props(f"data-testid={self.summary_id}")

    async def go(self, steps: int) -> None:
        """Show the row that is some steps further."""
        async with self.turn:
            await self.move(steps)

    async def move(self, steps: int) -> None:
        """Show the row that is some steps further. The caller has the turn."""
        self.position = min(max(self.position + steps, 0), max(self.total() - 1, 0))
        self.answer.visible = False
        await self.load()
        self.show_row.refresh()
        if steps:
            ui.run_javascript("scrollTo(0, 0)")

    def show_keys(self) -> None:
        """Show what each key does."""
        self.dialog.clear()
        with self.dialog, ui.card(), ui.grid(columns="auto 1fr").props("data-testid=keys"):
            for key, effect in self.keys().items():
                ui.label(key).classes("font-bold")
                ui.label(effect)
        self.dialog.open()

    async def pressed(self, key: str) -> None:
        """React to a key: its name in lower case."""
        if key in KEYS:
            await self._decide(KEYS[key])
        elif key in ("r", "c"):
            await self._relabel()
        elif key in ("arrowright", "arrowleft"):
            await self.go(1 if key == "arrowright" else -1)
        elif key == "?":
            self.show_keys()

    async def _pressed(self, event: Any) -> None:
        if self.dialog.value or not event.action.keydown or event.action.repeat:
            return
        if not (event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt):
            await self.pressed(event.key.name.lower())

    async def _relabel(self) -> None:
        async with self.turn:
            if self.row:
                self.answer.value, self.answer.visible = self.row["right_answer"] or self.row["answer"], True
                ui.timer(0.05, lambda: self.answer.run_method("focus"), once=True)  # after it has become visible

    async def _decide(self, verdict: Verdict) -> None:
        """Store the verdict and go to the next row. An error is shown, and the page stays at the row."""
        async with self.turn:
            if not self.row or (verdict == "relabel" and not self.answer.visible):
                return  # a second Enter must not give the answer to the next row too
            self.answer.run_method("blur")
            row, answer = self.row, self.answer.value if verdict == "relabel" else None
            try:
                await to_thread(
                    decide, self.config, row["sample_id"], verdict, answer=answer, why=self.why.value or "",
                    who=self.who, page=self.page, seen_us=row.get("decided_us"),
                )  # fmt: skip
            except DecidedMeanwhile as error:
                ui.notify(str(error), type="warning", timeout=8_000)
                await self.recount()
                await self.move(0)
                return
            except (ValueError, RuntimeError) as error:
                ui.notify(str(error), type="negative")
                return
            row.update(verdict=None if verdict == "undo" else verdict, who=self.who)
            row.update(right_answer=answer, why=self.why.value)
            self.why.value = ""
            await self.recount()
            await self.move(0 if verdict == "undo" else 1)
            self.show_result.refresh()
