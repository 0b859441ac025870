"""Fills card.md: the dataset card of a version, in the format of the Hugging Face Hub."""

from importlib.metadata import version as version_of
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from oresight.tasks.database import Connection, records
from oresight.tasks.publishing.columns import CHANGES
from oresight.tasks.publishing.folder import sha256_of
from oresight.tasks.publishing.rows import Rows
from oresight.tasks.publishing.version import Version

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's size categories, each with its upper limit of rows."""


def card_text(connection: Connection, version: Version, rows: Rows) -> str:
    """The text of README.md.

    Its configuration names the digest of the rows: the cache of `datasets` knows a local folder by its name and its
    configuration alone, and would give the rows of another folder `v1`, or of what `latest` pointed to before.
    """
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False, trim_blocks=True)  # noqa: S701
    templates.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    row = version.row
    return templates.get_template("card.md").render(
        split=row,
        model=version.model,
        pictures=rows.gallery.summary,
        config=version.settings,
        splitting=version.splitting,
        rule=version.rule,
        version=version_of("oresight"),
        default_file=rows.default_file,
        digest=sha256_of(rows.gallery.folder / rows.default_file),
        changes={name: CHANGES[change] for name, change in rows.changes.items()},
        has_lines="jsonl" in version.formats,
        reference=next(parent for parent in version.parents if parent["dataset"] == row["reference"]),
        reasons=records(connection, "publish_reasons", version.parameters),
        checks=records(connection, "publish_checks", row),
        kinds=records(connection, "report_detectability", row),
        size_category=next((name for limit, name in SIZES if row["rows_kept"] < limit), "n>1M"),
    )
