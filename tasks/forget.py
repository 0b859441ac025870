"""A row that must not be known any more: its text and pictures leave the database, and no later run brings them back.

DuckDB keeps what was deleted in free blocks of its file, so the file is written anew and takes the old one's place.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.album import sweep
from tasks.database import Connection, query, reading, records, rewrite, transaction, turn, writing
from tasks.progress import log


@dataclass(frozen=True)
class Forgotten:
    """What held the row.

    datasets: where it was. versions: folders of published versions that hold it, which are never changed by us. copies:
    files beside the database, made before an upgrade, that may hold it.
    """

    datasets: list[str]
    versions: list[str]
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
            versions = [one["folder"] for one in records(connection, "forget_versions", {"sample_id": sample_id})]
        with writing(database) as connection, transaction(connection):
            _delete(connection, sample_id, known, {"reason": reason, "who": who})
        rewrite(database)
        with reading(database) as connection:
            kept = {path for (path,) in connection.execute(query("forget_kept")).fetchall()}
        sweep(Path(f"{database}.images"), kept)
    log().info("forget: %s is forgotten", sample_id)
    return Forgotten(
        known["datasets"] or [],
        versions,
        sorted(map(str, Path(database).parent.glob(f"{Path(database).name}.before-*"))),
    )


def _delete(connection: Connection, sample_id: str, known: dict[str, Any], told: dict[str, str]) -> None:
    place, datasets = {"sample_id": sample_id}, {"datasets": known["datasets"] or []}
    canaries = [name for (name,) in connection.execute(query("forget_canaries"), datasets).fetchall()]
    connection.execute(query("forget_remember"), place | told)
    connection.execute(query("forget_reason"), place | {"reason": told["reason"]})
    for (table,) in connection.execute(query("forget_tables")).fetchall():
        connection.execute(query("forget_rows").replace("TABLE", table), {"sample_ids": [sample_id, *canaries]})
    paths = [one["path"] for one in known["images"] or []]
    connection.execute(query("forget_pictures"), datasets | {"paths": paths})
    connection.execute(query("forget_suites"), datasets)
    connection.execute(query("forget_again"), datasets)
