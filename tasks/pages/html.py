"""HTML that needs nothing from outside. What rows say is escaped; a page is whole or not there."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader


def write_page(page: Path, template: str, **told: Any) -> None:
    """Write tasks/TEMPLATE with what is told, in a folder that is made if need be."""
    found = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(template)
    page.parent.mkdir(parents=True, exist_ok=True)
    unfinished = page.with_name(f".{page.name}.unfinished")
    unfinished.write_text(found.render(**told), encoding="utf-8")
    unfinished.replace(page)
