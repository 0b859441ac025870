"""Writes self-contained HTML pages. Text of rows is escaped, and a page is written completely or not at all."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader


def rendered(template: str, **values: Any) -> str:
    """tasks/pages/TEMPLATE filled with values."""
    source = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(template)
    return source.render(**values)


def write_page(page: Path, template: str, **values: Any) -> None:
    """Fill tasks/pages/TEMPLATE with values and write the page. Missing folders are made."""
    page.parent.mkdir(parents=True, exist_ok=True)
    unfinished = page.with_name(f".{page.name}.unfinished")
    unfinished.write_text(rendered(template, **values), encoding="utf-8")
    unfinished.replace(page)
