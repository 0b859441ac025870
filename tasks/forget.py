"""Permanently deletes a row (erasure request): its text and pictures leave the database, and no later run reads them.

DuckDB keeps deleted data in free blocks of its file, so the file is rewritten and replaces the old one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oresight.tasks.database import Connection, execute, reading, records, rewrite, transaction, turn, writing
from oresight.tasks.formats.album import sweep
from oresight.tasks.formats.staging import empty_folder
from oresight.tasks.runs.progress import log

QUOTING_TABLES = ("flags", "split_rows")
"""Tables with reasons. The reason of one row may quote the text of another."""
CONTENT_TABLES = ("scores", "unscorable", "packed", "suspicions")
"""Tables of results per content, of rows and of canaries."""


@dataclass(frozen=True)
class Forgotten:
    """Where the row was stored, and where copies of it remain."""

    datasets: list[str]
    """Datasets that held the row."""
    versions: dict[str, str]
    """Folder of each published version that holds the row -> in which files. Oresight never changes these."""
    rejects: list[str]
    """File and line of rejected lines that held its text too."""
    copies: list[str]
    """Backups of the database, made before an upgrade, that may hold the row."""
    stores: list[str]
    """Stores of clusters in which a killed run may have left the row."""
    before: str = ""
    """By whom and when, if the row was forgotten before and nothing of it was left."""


def forget(database: str, sample_id: str, reason: str, who: str) -> Forgotten:
    """Forget a row, and the corrected copy that a person trusts instead of it, or the row that it is the copy of.

    It is safe to repeat, also after a first attempt was killed.

    Raises ValueError if the database never held such a row.
    """
    with turn(database):
        with reading(database) as connection:
            copies = execute(connection, "forget_copies", {"sample_id": sample_id}).fetchall()
            rows = [{"sample_id": copy} for (copy,) in sorted(copies)]
            known = [(row["sample_id"], records(connection, "forget_known", row)[0]) for row in rows]
            if not any(stored["datasets"] or stored["forgotten"] for _, stored in known):
                raise ValueError(f"{database}: holds no row {sample_id!r}; give a sample_id, as in the view rows")
            published = [version for row in rows for version in records(connection, "forget_versions", row)]
        with writing(database) as connection, transaction(connection):
            rejects = {line for row in known for line in _delete(connection, *row, reason=reason, who=who)}
        rewrite(database)
        # Left by a run that was killed while it read files, and by trials. Trusted rows are written again.
        for suffix in ("staging", "shards", "evaluation", "trusted"):
            with empty_folder(f"{database}.{suffix}"):
                pass
        with reading(database) as connection:
            kept = {path for (path,) in execute(connection, "forget_kept").fetchall()}
            stores = [store for (store,) in execute(connection, "forget_stores").fetchall() if _may_hold_rows(store)]
        sweep(Path(f"{database}.images"), kept)
    log().info("forget: %s is forgotten", sample_id)
    backups = (
        file for file in Path(database).parent.iterdir() if file.name.startswith(f"{Path(database).name}.before-")
    )
    versions = {version["folder"]: version["files"] for version in published}
    datasets = sorted({name for _, stored in known for name in stored["datasets"] or []})
    before = "" if datasets else next((stored["forgotten"] for _, stored in known if stored["forgotten"]), "")
    copies_left = sorted(map(str, backups))
    return Forgotten(datasets, versions, sorted(rejects), copies=copies_left, stores=stores, before=before)


def _may_hold_rows(store: str) -> bool:
    """Whether the store of a cluster is on S3, or is a folder with something in it."""
    return "://" in store or (Path(store).is_dir() and any(Path(store).iterdir()))


def _delete(connection: Connection, sample_id: str, stored: dict[str, Any], *, reason: str, who: str) -> list[str]:
    """Delete everything that holds the row's text. Returns file and line of rejected lines that held it too.

    stored: the result of forget_known.
    """
    row, datasets = {"sample_id": sample_id}, {"datasets": stored["datasets"] or []}
    execute(connection, "forget_remember", row | {"reason": reason, "who": who})
    execute(connection, "forget_reason", row | {"reason": reason})
    rejects = records(connection, "forget_rejects", row)
    for (table,) in execute(connection, "forget_tables").fetchall():
        execute(connection, "forget_rows", row, table=table)
    for table in QUOTING_TABLES:
        execute(connection, "forget_quotes", {"quotes": stored["quotes"] or []}, table=table)
    execute(connection, "forget_canaries", datasets)
    for table in CONTENT_TABLES:
        execute(connection, "forget_left", table=table)
    execute(connection, "forget_pictures", datasets | {"paths": stored["paths"] or []})
    execute(connection, "forget_suites", datasets)
    execute(connection, "forget_fits", datasets)
    execute(connection, "forget_again", datasets)
    return [f"{line['source_file']}, line {line['source_line']}" for line in rejects]
