"""The list of the review page: one line per row."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from oresight.tasks.pages.texts import short_id


def show_list(
    rows: list[dict[str, Any]], url: Callable[[str], str], show_only: Callable[[str], Awaitable[None]]
) -> None:
    """Show rows, each as a link.

    rows: the results of read_rows. url: the address of a row. show_only: shows a row alone, without loading the page.
    """
    with ui.column().classes("w-full gap-0").props("data-testid=list"):
        for row in rows:
            sample_id = row["sample_id"]
            with ui.element("a").classes("listed") as link:
                verdict = f"{row['verdict']} by {row['who']}" if row["verdict"] else "-"
                ui.label(verdict).classes("font-bold" if row["verdict"] else "muted")
                ui.label(short_id(sample_id)).classes("font-mono")
                ui.label(", ".join(row["checks"])).classes("reason")
                ui.label(" ".join(row["prompt"].split())).classes("muted")
                ui.label(" ".join(row["answer"].split()))
            link.props["href"] = url(sample_id)
            link.on("click.exact.prevent", lambda sample_id=sample_id: show_only(sample_id))
