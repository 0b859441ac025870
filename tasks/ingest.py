"""Reads files into rows, keyed by their content. Lines that cannot be read become rejects with line and reason.

Reading takes minutes and committing takes seconds. So rows are first staged as Parquet beside the database, which stays
open to others, and one transaction then replaces the dataset. A run killed at any moment leaves the old state.
"""

import glob
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import Connection, execute, reading, transaction, writing
from oresight.tasks.formats import join_names, separating_columns
from oresight.tasks.formats.advice import IDENTIFIER
from oresight.tasks.formats.album import Album, file_state, sweep
from oresight.tasks.formats.intake import NO_FILES, picture_root, stage_files
from oresight.tasks.formats.line import dumps
from oresight.tasks.formats.sources import File, list_files, with_members
from oresight.tasks.formats.splits import split_of
from oresight.tasks.formats.staging import Staging, empty_folder
from oresight.tasks.paths import relative
from oresight.tasks.runs.faults import explain_faults
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Run
from oresight.tasks.trusted import trusted_rows

INGEST_VERSION = 4
"""Add one when the same file would now give other rows."""
MAKE_TRUSTED = "`oresight trust CONFIG.yaml` lets you make trusted rows from rows of the dataset"
SETTLED_S = 10.0
"""Seconds without a write after which `unread_digest` takes a file to be complete."""

Role = Literal["dataset", "reference"]
"""The section of the configuration that names the files."""


@dataclass(frozen=True)
class Ingested:
    """Counts of a dataset in the database, after ingest."""

    dataset: str
    layout: str
    rows: int
    """Distinct rows."""
    rejected: int
    """Lines that are no rows."""
    duplicates: int
    """Further occurrences of a row."""
    reused: bool
    """The files are unchanged since the last ingest, so nothing was read."""


class Difference(NamedTuple):
    """Columns that are not read, in which rows of the same content differ."""

    columns: list[str]
    rows: int
    records: list[str]
    """Some of these rows, as JSON."""


def ingest(run: Run, role: Role) -> Ingested:
    """Replace the dataset in the database by the rows of its files, or do nothing if the files are unchanged.

    Raises ValueError, one line with field, path and cure, if the path or most of its lines cannot be used. The
    database is then unchanged.
    """
    database, dataset = run.config.database, _section(run.config, role)
    files, ignored = _files(run.config, role, dataset)
    hashes = _source_hashes(files, dataset, role, database)
    values: dict[str, Any] = {"dataset": dataset.name, "source_hashes": hashes, "source_hash": hashes[0]}
    with reading(database) as connection:
        stored = execute(connection, "ingest_known", values).fetchone()
        pictures = execute(connection, "ingest_standing", {"dataset": dataset.name}).fetchall()
    if any(file_state(path) != (size, modified_ns) for path, size, modified_ns in pictures):
        stored = None  # the files are unchanged, but a picture that their rows refer to is not
    if stored:
        if files:
            log().info("%s: unchanged", dataset.name)
        return _ingested(dataset.name, stored, reused=True)
    if ignored:
        log().warning("%s: not read: %s", dataset.name, ", ".join(ignored))
    for file in with_members(files):
        if file.remark:
            log().warning("%s: %s %s", dataset.name, file.path, file.remark)
    size = sum(file.bytes for file in with_members(files))
    with empty_folder(f"{database}.staging") as folder:
        album = Album(Path(f"{database}.images"), folder, allow_download=dataset.allow_download)
        less = "free some, or write the rows to smaller files"
        with (
            explain_faults(less),
            _naming_field(f"{role}.path"),
            progress(dataset.name, size, "bytes") as advance,
            album,
        ):
            staging = Staging(folder, album, {file.path: picture_root(file, dataset) for file in files})
            layout, columns_read = stage_files(files, dataset, f"{role}.columns", staging, advance)
        if files:
            log().info("%s: recognised the layout %s", dataset.name, layout)
        values |= {"role": role, "source": dataset.path, "layout": layout, "run_id": run.run_id}
        parts = [{"path": file.path, "sha256": file.sha256, "bytes": file.bytes} for file in with_members(files)]
        with writing(database) as connection:
            unread = dict(execute(connection, "ingest_unread", _staged(folder)).fetchall())
            for column in unread:
                if column.lower() == "split":
                    _tell_of_splits(connection, dataset.name, column, folder)
            with transaction(connection):
                stored, forgotten, differences = _commit(connection, folder, values | {"files": dumps(parts)})
            if forgotten:
                # Pictures from inside the files were stored before it was clear which rows stay.
                used_paths = {path for (path,) in execute(connection, "forget_kept").fetchall()}
                sweep(Path(f"{database}.images"), used_paths)
    for difference in differences:
        log().warning("%s: %s", dataset.name, _describe(difference, dataset.columns.given, role))
    _tell_of_columns(dataset.name, columns_read, unread)
    return _ingested(dataset.name, stored, reused=False)


def _section(config: Curate, role: Role) -> Dataset:
    return config.dataset if role == "dataset" else trusted_rows(config)


def _files(config: Curate, role: Role, dataset: Dataset) -> tuple[list[File], list[str]]:
    """The files of a dataset, and paths there that are not read. None if there are no trusted rows at all.

    Raises ValueError if there is nothing to read, or the configuration needs trusted rows and there are none.
    """
    if role == "reference" and config.reference is None and not Path(dataset.path).exists():
        if need := config.splitting.needs_trusted:
            raise ValueError(f"splitting.{need} compares rows with trusted rows, and there are none; {MAKE_TRUSTED}")
        return [], []
    try:
        return list_files(dataset.path, dataset.split, f"{role}.split")
    except ValueError as error:
        cure = f"; or remove the section reference: {MAKE_TRUSTED}" if role == "reference" else ""
        raise ValueError(f"{role}.path: {' '.join(str(error).split())}{cure}") from error


def unread_digest(config: Curate, role: Role) -> str | None:
    """A digest of the dataset's files if the database does not hold them yet, else None.

    Also None while a file was written in the last SETTLED_S seconds, because it may be incomplete. Raises ValueError
    as `ingest` does.
    """
    database, dataset = config.database, _section(config, role)
    files, _ = _files(config, role, dataset)
    last_write = max((Path(file.path).stat().st_mtime for file in files if Path(file.path).exists()), default=0.0)
    if time.time() - last_write < SETTLED_S:
        return None
    hashes = _source_hashes(files, dataset, role, database)
    if not Path(database).is_file():
        return hashes[0]
    with reading(database) as connection:
        stored = execute(connection, "ingest_known", {"dataset": dataset.name, "source_hashes": hashes}).fetchone()
    return None if stored else hashes[0]


def _ingested(name: str, stored: tuple[Any, ...], *, reused: bool) -> Ingested:
    layout, rows, rejected, duplicates = stored
    if layout == NO_FILES:
        log().warning(
            "%s: no trusted rows, so rows are checked but neither valued nor judged, and no error rate is claimed;"
            " `oresight trust CONFIG.yaml` makes some, and then the rows that teach what these ask are kept, and wrong"
            " rows are flagged at a stated error rate",
            name,
        )
        return Ingested(dataset=name, layout=layout, rows=0, rejected=0, duplicates=0, reused=reused)
    log().info("%s: %d rows in layout %s, %d rejected, %d duplicates", name, rows, layout, rejected, duplicates)
    return Ingested(dataset=name, layout=layout, rows=rows, rejected=rejected, duplicates=duplicates, reused=reused)


@contextmanager
def _naming_field(field: str) -> Iterator[None]:
    """Put the field in front of a ValueError's message, on one line."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}: {' '.join(str(error).split())}") from error


def _source_hashes(files: list[File], dataset: Dataset, role: str, database: str) -> list[str]:
    """Hashes of everything that ingest depends on. If one is stored, reading again would change nothing.

    The first is stored. Its paths are relative to the database, so that the current folder does not matter. Older
    releases stored one of the others: paths as the configuration had them.
    """

    def digest(folder: str) -> str:
        root = dataset.root and relative(dataset.root, folder)
        settings = [role, dataset.columns.given, dataset.split, root, dataset.allow_download]
        parts = [(relative(file.path, folder), file.sha256) for file in with_members(files)]
        return hashlib.sha256(orjson.dumps([INGEST_VERSION, settings, parts])).hexdigest()

    return [digest(folder) for folder in (str(Path(database).absolute().parent), ".", "")]


def _tell_of_columns(dataset: str, read: Iterable[str], unread: Mapping[str, bool]) -> None:
    """Log the columns that are not read, and those that SQL confuses. unread: whether each holds pictures."""
    if unread:
        log().info("%s: columns that are not read: %s", dataset, join_names(list(unread)))
    if pictured := [column for column, has_pictures in unread.items() if has_pictures]:
        log().warning(
            "%s: pictures in %s are not read, and published rows hold only their SHA-256; dataset.columns: {image: ...}"
            " takes a list of all columns of pictures",
            dataset,
            join_names(pictured),
        )
    spellings = dict[str, str]()
    for column in [*read, *unread]:
        if (other := spellings.setdefault(column.lower(), column)) != column:
            log().warning("%s: columns %r and %r differ in case only; DuckDB renames one", dataset, other, column)


def _tell_of_splits(connection: Connection, dataset: str, column: str, folder: Path) -> None:
    """Warn of staged rows that are of several splits, going by the values of a column."""
    values = {"rows": _staged(folder)["rows"], "column": column}
    rows = dict(execute(connection, "ingest_splits", values).fetchall())
    splits = {split_of(value) for value in rows} - {None}
    if len(splits) > 1:
        counts = ", ".join(f"{value} {count:,}" for value, count in rows.items())
        log().warning(
            "%s: rows of several splits are merged (column %r: %s); write the rows of one split to a file of their own",
            dataset,
            column,
            counts,
        )


def _describe(difference: Difference, named: Mapping[str, Any], role: Role) -> str:
    """One line on rows that differ in unread columns only, with the setting that reads them if there is one."""
    columns = difference.columns
    advice = "each is a row of its own" if role == "dataset" else "they count as one row"
    if cure := separating_columns([orjson.loads(record) for record in difference.records], named, columns):
        setting, read_then = cure
        them = "it" if len(columns) == 1 else "them" if read_then == columns else repr(read_then[0])
        advice = f"{role}.columns: {setting} reads {them}"
    names, are = " and ".join(map(repr, columns)), "is" if len(columns) == 1 else "are"
    return f"{difference.rows} rows differ only in {names}, which {are} not read; {advice}"


def _staged(folder: Path) -> dict[str, Any]:
    """The paths of the staging files, as patterns for SQL."""
    return {name: glob.escape(str(folder / f"{name}.parquet")) for name in ("rows", "rejects", "pictures")}


def _commit(
    connection: Connection, folder: Path, values: dict[str, Any]
) -> tuple[tuple[str, int, int, int], int, list[Difference]]:
    """Replace the dataset by what is staged.

    Returns (layout, rows, rejected, duplicates), how many staged rows are on the list of forgotten rows, and in which
    unread columns rows of the same content differ.
    """
    name = {"dataset": values["dataset"]}
    staged = name | _staged(folder)
    execute(connection, "ingest_places", staged)
    differences = _separate_variants(connection, folder, staged, keep=values["role"] == "dataset")
    digest, ids = hashlib.sha256(), execute(connection, "ingest_ids")
    while batch := ids.fetchmany(100_000):
        digest.update("".join(f"{sample_id}\n" for (sample_id,) in batch).encode())
    execute(connection, "ingest_retire", name)
    execute(connection, "ingest_update", staged)
    execute(connection, "ingest_insert", staged)
    execute(connection, "ingest_clear_duplicates", name)
    execute(connection, "ingest_duplicates", name)
    execute(connection, "ingest_clear_rejects", name)
    execute(connection, "ingest_rejects", staged)
    (forgotten,) = execute(connection, "ingest_forgotten", staged).fetchone() or (0,)
    execute(connection, "ingest_clear_pictures", name)
    execute(connection, "ingest_pictures", staged)
    execute(connection, "ingest_dataset", values | {"content_hash": digest.hexdigest()})
    stored = execute(connection, "ingest_known", values).fetchone()
    assert stored is not None
    return stored, forgotten, differences


def _separate_variants(connection: Connection, folder: Path, staged: dict[str, Any], *, keep: bool) -> list[Difference]:
    """Give rows of the same content that differ in unread columns ids of their own, in the rows that `staged` names.

    keep: whether these rows stay apart. If not, only those that were forgotten by such an id get one.
    """
    execute(connection, "ingest_variants", staged | {"identifier": IDENTIFIER})
    differences = [Difference(*row) for row in execute(connection, "ingest_differences", staged).fetchall()]
    if differences:
        file = folder / "apart.parquet"
        execute(connection, "ingest_apart", staged | {"file": str(file), "keep": keep})
        staged["rows"] = glob.escape(str(file))
        execute(connection, "ingest_places", staged)
    return [difference for difference in differences if difference.columns]
