"""Files -> rows keyed by content; what cannot be read -> rejects, each with its line and the reason.

Reading takes minutes, committing seconds: rows are staged as Parquet beside the database while nobody is kept out, and
one transaction then replaces what the dataset was. A run killed at any moment leaves what was there before.
"""

import glob
import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
import pyarrow.parquet as pq

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import Connection, execute, reading, transaction, writing
from oresight.tasks.formats import Layout, recognise
from oresight.tasks.formats.album import Album, Kept, Place, standing, sweep
from oresight.tasks.formats.files import Advance, Line, dumps, read
from oresight.tasks.formats.sample import Sample, content_id, written
from oresight.tasks.formats.sources import File, found
from oresight.tasks.formats.staging import PICTURES, REJECTS, ROWS, Staged, empty_folder
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Run

INGEST_VERSION = 2  # add one when the same file would now give other rows
FIRST_ROWS = 200  # that the layout is recognised from
TOGETHER = 128  # rows whose pictures are looked at side by side
SETTLED_S = 10.0  # since a file was last written, before `unread` believes that it is whole
RAW_CHARACTERS = 1000  # of a rejected line that are kept


Role = Literal["dataset", "reference"]
"""Which section of the configuration is read."""


@dataclass(frozen=True)
class Ingested:
    """What the database now holds of a dataset: distinct rows, lines that are none, further places of a row."""

    dataset: str
    layout: str
    rows: int
    rejected: int
    duplicates: int
    reused: bool
    """The files are the ones of the last time, so nothing was read."""


class _Content(NamedTuple):
    """A row's columns that depend on the record alone, in the order of ROWS."""

    sample_id: str
    kind: str
    prompt: str
    answer: str
    messages: str
    tools: str | None
    images: list[dict[str, Any]] | None
    metadata: str
    record: str


def ingest(run: Run, role: Role) -> Ingested:
    """Make the database hold what the files hold, or do nothing if they are unchanged.

    Raises ValueError, one line naming the field, the path and what would work, if the path or most of its lines cannot
    be used; the database then holds what it held before.
    """
    database, dataset = run.config.database, _section(run.config, role)
    with _about(f"{role}.path"):
        files, others = found(dataset.path)
    values: dict[str, Any] = {"dataset": dataset.name, "source_hash": _source_hash(files, dataset, role)}
    with reading(database) as connection:
        known = execute(connection, "ingest_known", values).fetchone()
        pictures = execute(connection, "ingest_standing", {"dataset": dataset.name}).fetchall()
    if any(standing(path) != (size, modified) for path, size, modified in pictures):
        known = None  # the rows stand as they did, but not the pictures that they name
    if known:
        log().info("%s: unchanged", dataset.name)
        return _ingested(dataset.name, known, reused=True)
    if others:
        log().warning("%s: not read: %s", dataset.name, ", ".join(others))
    size = sum(file.bytes for file in files)
    with empty_folder(f"{database}.staging") as folder:
        album = Album(Path(f"{database}.images"), allow_download=dataset.allow_download)
        with _about(f"{role}.path"), progress(f"{dataset.name}: bytes", size) as advance, album:
            layout = _stage(files, dataset, role, folder, album, advance)
        values |= {"role": role, "source": dataset.path, "layout": layout.name, "run_id": run.run_id}
        values |= {"files": dumps([{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in files])}
        with writing(database) as connection:
            with transaction(connection):
                known, forgotten = _commit(connection, folder, values)
            if forgotten:
                kept = {path for (path,) in execute(connection, "forget_kept").fetchall()}
                sweep(Path(f"{database}.images"), kept)  # pictures inside the files were written before rows were known
    return _ingested(dataset.name, known, reused=False)


def _section(config: Curate, role: Role) -> Dataset:
    return config.dataset if role == "dataset" else config.reference


def unread(config: Curate, role: Role) -> str | None:
    """A digest of the dataset's files if they are not those that the database holds, or None. Files that were written
    in the last SETTLED_S seconds may not be whole yet, and wait. Raises ValueError as `ingest` does.
    """
    database, dataset = config.database, _section(config, role)
    with _about(f"{role}.path"):
        files, _ = found(dataset.path)
    written = max((Path(file.path).stat().st_mtime for file in files if Path(file.path).exists()), default=0.0)
    if time.time() - written < SETTLED_S:
        return None
    values = {"dataset": dataset.name, "source_hash": _source_hash(files, dataset, role)}
    if not Path(database).is_file():
        return values["source_hash"]
    with reading(database) as connection:
        known = execute(connection, "ingest_known", values).fetchone()
    return None if known else values["source_hash"]


def _ingested(name: str, known: tuple[Any, ...], *, reused: bool) -> Ingested:
    layout, rows, rejected, duplicates = known
    log().info("%s: %d rows in layout %s, %d rejected, %d duplicates", name, rows, layout, rejected, duplicates)
    return Ingested(name, layout, rows, rejected, duplicates, reused)


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Put the field in front of what is wrong with its value, on one line."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}: {' '.join(str(error).split())}") from error


def _source_hash(files: list[File], dataset: Dataset, role: str) -> str:
    """Equal means that reading again would change nothing."""
    how = [role, sorted(dataset.columns.items()), dataset.root, dataset.allow_download]
    told = [INGEST_VERSION, how, [(file.path, file.sha256) for file in files]]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


def _stage(files: list[File], dataset: Dataset, role: str, folder: Path, album: Album, advance: Advance) -> Layout:
    """Write rows, rejects and pictures as Parquet; gives the layout.

    Raises ValueError if there are no rows, the layout is unknown or most lines are none.
    """
    lines = ((file.path, line) for file in files for line in read(file, advance))
    head = list(islice(lines, FIRST_ROWS))
    if not head:
        raise ValueError(f"{dataset.path}: holds no rows; give a file with at least one")
    readable = [line.record for _, line in head if line.record is not None]
    if not readable:
        raise _wrong_file(dataset.path, _reasons((path, line.number, line.reason) for path, line in head), len(head))
    try:
        layout = recognise(readable, dataset.columns, f"{role}.columns")
    except ValueError as error:
        raise ValueError(f"{dataset.path}: {error}") from error
    log().info("%s: recognised the layout %s", dataset.name, layout.name)
    rows, rejects = Staged(folder / "rows.parquet", ROWS), Staged(folder / "rejects.parquet", REJECTS)
    pictures, roots = Staged(folder / "pictures.parquet", PICTURES), {file.path: _root(file, dataset) for file in files}
    every = chain(head, lines)
    while together := list(islice(every, TOGETHER)):
        read_in = [(path, line, _sample(line, layout)) for path, line in together]
        places = [
            [Place(roots[path], source) for source in sample.pictures] if isinstance(sample, Sample) else []
            for path, _, sample in read_in
        ]
        for entry in album.gather(chain.from_iterable(places)):
            pictures.add(entry, len(entry.thumbnail or b""))
        for (path, line, sample), here in zip(read_in, places, strict=True):
            try:
                content = _content(line, layout, sample, album.find(here))
            except ValueError as error:
                rejects.add((path, line.number, str(error), _raw(line.text)), RAW_CHARACTERS)
            else:
                rows.add((rows.count, *content, path, line.number), 4 * len(content.record))
    for staged in (rows, rejects, pictures):
        staged.close()
    if rejects.count > rows.count:
        found_wrong = pq.read_table(folder / "rejects.parquet", columns=["source_file", "source_line", "reason"])
        reasons = _reasons(tuple(row.values()) for batch in found_wrong.to_batches() for row in batch.to_pylist())
        raise _wrong_file(dataset.path, reasons, rows.count + rejects.count)
    return layout


def _root(file: File, dataset: Dataset) -> Path | None:
    """Where paths of pictures start."""
    if dataset.root:
        return Path(dataset.root)
    return None if file.kind == "hub" else Path(file.path) if file.kind == "arrow" else Path(file.path).parent


def _sample(line: Line, layout: Layout) -> Sample | str:
    """The supervised row that a line holds, or the reason why there is none."""
    if line.record is None:
        return line.reason
    if "\\u0000" in line.text and "\0" in "".join(_texts(line.record)):
        return "holds a NUL character (\\u0000)"
    try:
        return layout.read(line.record)
    except (ValueError, TypeError, RecursionError) as error:
        return str(error) if isinstance(error, ValueError) else f"cannot be kept as JSON ({error})"


def _content(line: Line, layout: Layout, sample: Sample | str, pictures: list[Kept]) -> _Content:
    """A row as columns. Raises ValueError with the reason if it is no supervised row."""
    if isinstance(sample, str) or line.record is None:
        raise ValueError(sample)
    messages, tools, _ = sample
    try:
        turns = orjson.dumps(messages, option=orjson.OPT_SORT_KEYS).decode()
        tools = orjson.dumps(tools, option=orjson.OPT_SORT_KEYS).decode() if tools else None
        metadata = dumps({column: value for column, value in line.record.items() if column not in layout.used})
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be kept as JSON ({error})") from error
    kind = "vqa" if pictures else "instruction"
    sample_id = content_id(turns, tools, [picture.sha256 for picture in pictures])
    *before, answer = messages
    prompt = written(before[0]) if len(before) == 1 else "\n\n".join(f"{t['role']}: {written(t)}" for t in before)
    images = [picture._asdict() for picture in pictures] or None
    return _Content(sample_id, kind, prompt, written(answer), turns, tools, images, metadata, line.text)


def _texts(value: Any) -> Iterator[str]:
    """Every text and every key in a value, however deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value


def _raw(text: str) -> str:
    """The beginning of a line that may hold anything, as text that can be kept."""
    return text[:RAW_CHARACTERS].encode(errors="surrogateescape").decode(errors="replace").replace("\0", "\ufffd")


def _reasons(rejects: Iterable[tuple[Any, ...]]) -> list[tuple[int, str, str]]:
    """How often each kind of reason occurs, most often first, with its first reason in full and its place."""
    kinds: dict[str, tuple[int, str, str]] = {}
    for path, number, reason in rejects:
        place = f"{path}, line {number}" if number else path
        count, first, where = kinds.get(kind := re.sub(r"\d+", "N", reason), (0, reason, place))
        kinds[kind] = count + 1, first, where
    return sorted(kinds.values(), key=lambda kind: -kind[0])


def _wrong_file(path: str, reasons: list[tuple[int, str, str]], lines: int) -> ValueError:
    rejected = sum(count for count, _, _ in reasons)
    count, reason, place = reasons[0]
    told = f"{rejected} of {lines} lines are no rows to value, so it is the wrong file"
    return ValueError(f"{path}: {told}; the most frequent reason ({count} times, first in {place}): {reason}")


def _commit(connection: Connection, folder: Path, values: dict[str, Any]) -> tuple[tuple[str, int, int, int], int]:
    """Replace what the dataset was by what is staged; gives layout, rows, rejected, duplicates; and forgotten rows."""
    rows, rejects, pictures = (glob.escape(str(folder / f"{name}.parquet")) for name in ("rows", "rejects", "pictures"))
    name = {"dataset": values["dataset"]}
    execute(connection, "ingest_places", name | {"rows": rows})
    digest, ids = hashlib.sha256(), execute(connection, "ingest_ids")
    while batch := ids.fetchmany(100_000):
        digest.update("".join(f"{sample_id}\n" for (sample_id,) in batch).encode())
    execute(connection, "ingest_retire", name)
    execute(connection, "ingest_update", name | {"rows": rows})
    execute(connection, "ingest_insert", name | {"rows": rows})
    execute(connection, "ingest_clear_duplicates", name)
    execute(connection, "ingest_duplicates", name)
    execute(connection, "ingest_clear_rejects", name)
    execute(connection, "ingest_rejects", name | {"rejects": rejects})
    (forgotten,) = execute(connection, "ingest_forgotten", name | {"rows": rows}).fetchone() or (0,)
    execute(connection, "ingest_clear_pictures", name)
    execute(connection, "ingest_pictures", {**name, "pictures": pictures, "rows": rows})
    execute(connection, "ingest_dataset", values | {"content_hash": digest.hexdigest()})
    known = {"dataset": values["dataset"], "source_hash": values["source_hash"]}
    found_now = execute(connection, "ingest_known", known).fetchone()
    assert found_now is not None
    return found_now, forgotten
