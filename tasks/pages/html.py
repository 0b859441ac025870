"""Writes self-contained HTML pages that link to each other. A page is written completely or not at all.

All pages extend shell.html. Text of rows is escaped. A page asks no other host for anything, and runs no script but
filter.js, which its Content-Security-Policy names by its hash.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from oresight.tasks.pages.texts import short_id, visible

PAGES = {"report.html": "Report", "checks.html": "Checks", "evaluations.html": "Evaluations"}
"""The pages of a split and their titles. They are in one folder."""
_NAV = re.compile(r'<nav aria-label="Pages of this split">.*?</nav>', re.S)


@dataclass(frozen=True)
class Head:
    """The header of a page: what it is about, and what it says in sum."""

    dataset: str
    split: str
    version: int | None
    """The version of the split that the page describes; None if it describes none."""
    verdict: Sequence[str]
    """Sentences: what was found, how sure it is, and what cannot be seen."""


def write_page(page: Path, template: str, head: Head, **values: Any) -> None:
    """Fill tasks/pages/TEMPLATE with values, write the page, and link it with the other pages in its folder.

    Missing folders are made.
    """
    script = rendered("filter.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    text = rendered(template, head=head, written=written, script_hash=digest, **values)
    page.parent.mkdir(parents=True, exist_ok=True)
    names = [name for name in PAGES if name == page.name or page.with_name(name).is_file()]
    for name in names:
        before = text if name == page.name else page.with_name(name).read_text("utf-8", "surrogateescape")
        linked = _NAV.sub(_nav(names, name), before, count=1)
        if name == page.name or linked != before:
            unfinished = page.with_name(f".{name}.unfinished")
            unfinished.write_text(linked, "utf-8", "surrogateescape")
            unfinished.replace(page.with_name(name))


def rendered(template: str, **values: Any) -> str:
    """tasks/pages/TEMPLATE filled with values. Text is escaped, and its control characters are made visible."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, finalize=_visible)
    environment.filters |= {"short_id": short_id, "anchor": _anchor}
    return environment.get_template(template).render(**values)


def _nav(names: list[str], current: str) -> str:
    """Links to the pages that exist."""
    links = (f'<a href="{name}"{" aria-current=page" if name == current else ""}>{PAGES[name]}</a>' for name in names)
    return f'<nav aria-label="Pages of this split">{" ".join(links)}</nav>'


def _visible(value: Any) -> Any:
    """Text of rows with its control characters made visible. They could hide text, or turn what stands beside it."""
    return type(value)(visible(value.replace("\r\n", "\n"))) if isinstance(value, str) else value


def _anchor(name: str) -> str:
    """The id of the HTML element that is about a check. An id holds no space."""
    return "check-" + re.sub(r"\s", "_", name)
