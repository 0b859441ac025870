"""What `oresight curate` prints in the end: the counts, and a verdict in sentences with what to do next."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oresight.tasks.config import Curate
from oresight.tasks.pages.verdict import SAID_WITHOUT_TRUSTED

if TYPE_CHECKING:
    from oresight.flows.curate import Curated

CAUSES = {
    "flag": "flagged",
    "suspicion": "look wrong beside the trusted rows; no error rate is claimed for them",
    "rank": "over the budget",
    "draw": "not drawn",
    "near duplicate": "nearly the same as a better row",
    "verdict": "dropped by a person",
    "unscored": "without a score",
}
"""What dropped a row, in words, by the column `cause` of split_rows."""


def summary(curated: "Curated", settings: Curate) -> Iterator[str]:
    """The table of counts, and where the results are."""
    width = max(map(len, curated.counts))
    for name, count in curated.counts.items():
        yield f"{name:<{width}}  {count:>9,}"
    yield f"{'seconds':<{width}}  {curated.seconds:>9.1f}"
    for name, path in paths(curated, settings).items():
        yield f"{name:<9}  {path}{_unchanged(curated) if name == 'split' else ''}"


def paths(curated: "Curated", settings: Curate) -> dict[str, str]:
    """Where the results are."""
    return {
        "split": str(curated.folder),
        "checks": str(curated.folder.parent / "checks.html"),
        "report": str(curated.report),
        "database": settings.database,
    }


def sentences(curated: "Curated", config: Path) -> Iterator[str]:
    """The verdict: how many rows stay, why the others go, what was found, how sure that is, what cannot be seen."""
    split, counts = f"{curated.split.name}/v{curated.split.version}", curated.counts
    if not (curated.new_version or counts["scored"]):
        yield f"Nothing has changed since the last run: {split} stands."
    kept, dropped = counts["kept"], counts["dropped"]
    yield f"{split} keeps {kept:,} of {kept + dropped:,} rows{' and drops:' if dropped else '.'}"
    for cause, rows in curated.dropped.items():
        checks = ", ".join(f"{name} {flagged:,}" for name, flagged in curated.flagged.items())
        by = f" (by {checks})" if cause == "flag" else ""
        yield f"{rows:>9,}  {CAUSES.get(cause, cause)}{by}"
    apart = {"rejected": "rejected", "duplicates": "duplicate" if counts["duplicates"] == 1 else "duplicates"}
    if parts := [f"{counts[name]:,} {text}" for name, text in apart.items() if counts[name]]:
        yield f"Beside these, {' and '.join(parts)}, of {counts['rows read']:,} that were read."
    for sentence in curated.verdict:
        yield sentence.replace("CONFIG.yaml", shlex.quote(str(config)))


def next_steps(curated: "Curated", settings: Curate, config: Path, changes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Commands that work as they stand, and the page to open, each with what it does."""
    arguments = [str(config), *(part for change in changes for part in ("--set", change))]
    if curated.verdict != SAID_WITHOUT_TRUSTED:
        which = "flagged" if curated.counts["flagged"] else "most suspicious"
        yield _command("review", *arguments), f"opens the {which} rows, for your verdict"
    else:
        yield _command("trust", *arguments), "makes trusted rows, by which the next run judges"
    if curated.counts["dropped"]:
        keys = f"split = '{curated.split.name}' AND version = {curated.split.version} AND decision = 'drop'"
        query = f'"SELECT reason, prompt, answer FROM split_rows JOIN rows USING (sample_id) WHERE {keys}"'  # noqa: S608
        yield f"{_command('sql', '--database', settings.database)} {query}", "lists the dropped rows"
    yield str(curated.report), "shows what was found, with the rows"


def document(curated: "Curated", settings: Curate, config: Path, warnings: Sequence[str]) -> dict[str, Any]:
    """The result as one JSON document."""
    counts = {name.removesuffix(" read"): count for name, count in curated.counts.items()}
    return {
        "run_id": curated.run_id,
        "dataset": settings.dataset.name,
        "split": curated.split.name,
        "version": curated.split.version,
        "is_new": curated.new_version,
        **counts,
        "dropped_by_cause": curated.dropped,
        "flagged_by_check": curated.flagged,
        "tokens_kept": curated.split.tokens_kept,
        "seconds": curated.seconds,
        "paths": paths(curated, settings),
        "verdict": [sentence.replace("CONFIG.yaml", str(config)) for sentence in curated.verdict],
        "warnings": list(warnings),
    }


def _unchanged(curated: "Curated") -> str:
    return "" if curated.new_version else "  (unchanged, no new version)"


def _command(name: str, *arguments: str) -> str:
    """A command line. The program is named as it was started, unless the shell finds it by its name."""
    is_elsewhere = Path(sys.argv[0]).name == "oresight" and not shutil.which("oresight")
    program = sys.argv[0] if is_elsewhere else "oresight"
    return shlex.join([program, name, *arguments])
