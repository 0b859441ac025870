"""A row that must not be known any more: its text and pictures leave the database, and no later run brings them back.

DuckDB keeps what was deleted in free blocks of its file, so the file is written anew and takes the old one's place.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oresight.tasks.database import Connection, execute, reading, records, rewrite, transaction, turn, writing
from oresight.tasks.formats.album import sweep
from oresight.tasks.formats.staging import empty_folder
from oresight.tasks.runs.progress import log

QUOTING = ("flags", "split_rows")
"""Tables whose reasons, of whichever row, may quote another one."""
FOUND = ("scores", "unscorable", "packed", "suspicions")
"""Tables of what was found of a content, be it a row's or a canary's."""


@dataclass(frozen=True)
class Forgotten:
    """What held the row.

    datasets: where it was. versions: folder of each published version that holds it -> in which files; they are never
    changed by us. rejects: places of rejected lines that hold its text too. copies: files beside the database, made
    before an upgrade, that may hold it.
    """

    datasets: list[str]
    versions: dict[str, str]
    rejects: list[str]
    copies: list[str]


def forget(database: str, sample_id: str, reason: str, who: str) -> Forgotten:
    """Forget a row; safe to repeat, also where a first try was killed.

    Raises ValueError if no such row was ever known.
    """
    with turn(database):
        with reading(database) as connection:
            (known,) = records(connection, "forget_known", {"sample_id": sample_id})
            if not (known["datasets"] or known["forgotten"]):
                raise ValueError(f"{database}: holds no row {sample_id!r}; give a sample_id, as in the view rows")
            held = records(connection, "forget_versions", {"sample_id": sample_id})
        with writing(database) as connection, transaction(connection):
            rejects = _delete(connection, sample_id, known, {"reason": reason, "who": who})
        rewrite(database)
        for beside in ("staging", "evaluation"):  # of a run that was killed while it read the files; of trials
            with empty_folder(f"{database}.{beside}"):
                pass
        with reading(database) as connection:
            kept = {path for (path,) in execute(connection, "forget_kept").fetchall()}
        sweep(Path(f"{database}.images"), kept)
    log().info("forget: %s is forgotten", sample_id)
    copies = (
        file for file in Path(database).parent.iterdir() if file.name.startswith(f"{Path(database).name}.before-")
    )
    versions = {one["folder"]: one["files"] for one in held}
    return Forgotten(known["datasets"] or [], versions, rejects, sorted(map(str, copies)))


def _delete(connection: Connection, sample_id: str, known: dict[str, Any], told: dict[str, str]) -> list[str]:
    """Delete all that holds the row's text; gives the places of rejected lines that hold it too."""
    place, datasets = {"sample_id": sample_id}, {"datasets": known["datasets"] or []}
    execute(connection, "forget_remember", place | told)
    execute(connection, "forget_reason", place | {"reason": told["reason"]})
    rejects = records(connection, "forget_rejects", place)
    for (table,) in execute(connection, "forget_tables").fetchall():
        execute(connection, "forget_rows", place, table=table)
    for table in QUOTING:
        execute(connection, "forget_quotes", {"quotes": known["quotes"] or []}, table=table)
    execute(connection, "forget_canaries", datasets)
    for table in FOUND:
        execute(connection, "forget_left", table=table)
    execute(connection, "forget_pictures", datasets | {"paths": known["paths"] or []})
    execute(connection, "forget_suites", datasets)
    execute(connection, "forget_again", datasets)
    return sorted(f"{one['source_file']}, line {one['source_line']}" for one in rejects)
