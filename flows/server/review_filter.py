"""The filter of the review page: by check, source, likeness, verdict and text."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from oresight.tasks.reviewing.queue import MOST_TEXT, VERDICTS, Facets, Filter

MOST_VALUES = 500
"""Most values that a list of choices has: those with most rows."""
Choice = tuple[str, str]
"""A value, and the metadata column of it, which is empty but for a source."""


class FilterBar:
    """The choices of one visitor."""

    def __init__(self, chosen: Filter, facets: Facets, apply: Callable[[Filter], Awaitable[None]]) -> None:
        """apply: shows the rows of a filter."""
        self.chosen, self.facets, self.apply = chosen, facets, apply
        with ui.element("div").classes("filters"):
            self._select("check", "check", (chosen.check, ""))
            self._select("source", "source", (chosen.source, chosen.column))
            self._select("looks_like", "looks like", (chosen.looks_like, ""))
            self._choices("verdict", "verdict", {(name, ""): name for name in VERDICTS}, (chosen.verdict, ""))
            self.text = ui.input("text, then Enter", value=chosen.text).props(
                f"dense outlined clearable maxlength={MOST_TEXT}"
            )
            self.text.on("keydown.enter", self._search).on("clear", self._search)

    def _select(self, facet: str, label: str, value: Choice) -> None:
        """A list of the values of a facet, each with its rows."""
        values = self.facets.of(facet)
        options = {
            (row["value"], row["part"]): f"{row['part']} {row['value']} ({row['rows']:,})".strip()
            for row in values[:MOST_VALUES]
        }
        cut = f" ({MOST_VALUES} of {len(values):,})" if len(values) > MOST_VALUES else ""
        self._choices(facet, label + cut, options, value)

    def _choices(self, name: str, label: str, options: dict[Choice, str], value: Choice) -> None:
        if value[0] and value not in options:
            options[value] = f"{value[1]} {value[0]} (0)".strip()  # the address of the page may state anything
        select = ui.select(
            options, value=value if value[0] else None, label=label, with_input=len(options) > 20, clearable=True,
            on_change=lambda event: self._choose(name, event.sender, event.value),
        )  # fmt: skip
        select.props(f"dense outlined options-dense data-testid=filter-{name}")

    async def _choose(self, name: str, select: ui.select, choice: Choice | None) -> None:
        select.run_method("blur")  # so that keys give verdicts again
        value, column = choice or ("", "")
        changes: dict[str, Any] = {name: value} | ({"column": column} if name == "source" else {})
        await self._change(**changes)

    async def _search(self) -> None:
        self.text.run_method("blur")
        await self._change(text=self.text.value or "")

    async def _change(self, **changes: str) -> None:
        changed = dataclasses.replace(self.chosen, **changes)
        if changed != self.chosen:
            self.chosen = changed
            await self.apply(changed)
