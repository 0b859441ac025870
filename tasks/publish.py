"""A split -> a folder that a trainer reads as it read the raw file. The manifest is written last, the folder is renamed
into place whole, and what has once been published is never changed.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader

from tasks.config import Curate, Publishing
from tasks.database import Connection, query, reading, transaction, writing
from tasks.progress import log

PACKAGES = ("oresight", "torch", "transformers", "duckdb", "prefect", "great-expectations")
BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Published:
    """Where a version is, and whether this run wrote it."""

    folder: Path
    new: bool


def publish(database: str, config: Curate, split: str, version: int) -> Published:
    """Write a version of a split to FOLDER/SPLIT/vN, unless it is there already.

    Raises ValueError if something else is in that place.
    """
    publishing = config.publishing
    home = Path(publishing.folder) / split
    folder = home / f"v{version}"
    place = {"split": split, "version": version}
    with reading(database) as connection:
        (row,) = _records(connection, "publish_version", place)
        if folder.exists():
            digest = _adopted(folder, row)
        else:
            with _unfinished(home, folder) as part:
                digest = _write(connection, part, publishing, config, row)
    if (row["manifest_sha256"], row["folder"]) != (digest, str(folder)):
        with writing(database) as connection, transaction(connection):
            connection.execute(query("publish_record"), place | {"manifest_sha256": digest, "folder": str(folder)})
    new = row["manifest_sha256"] is None
    _point(home)
    log().info("publish: %s%s", folder, "" if new else " stands")
    return Published(folder, new)


def _adopted(folder: Path, row: dict[str, Any]) -> str:
    """The digest of the manifest that stands in this version's place, if it is this version's."""
    manifest = folder / "manifest.json"
    text = manifest.read_bytes() if manifest.is_file() else b"{}"
    if json.loads(text).get("decision_hash") != row["decision_hash"]:
        raise ValueError(
            f"publishing.folder: {folder} holds a version that another database published;"
            " give another folder or splitting.name"
        )
    return hashlib.sha256(text).hexdigest()


@contextmanager
def _unfinished(home: Path, folder: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `folder` at the end. What killed runs left there goes first."""
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home))
    part.chmod(0o755)
    try:
        yield part
        _to_disk(part)
        part.rename(folder)
        _to_disk(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    """Make the folder's entries survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _point(home: Path) -> None:
    """Let `latest` point to the newest version; it never points nowhere."""
    newest = max((int(v.name[1:]) for v in home.glob("v*") if v.name[1:].isdigit()), default=0)
    link = home / "latest"
    if newest and (not link.is_symlink() or link.readlink() != Path(f"v{newest}")):
        fresh = home / f".latest-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"v{newest}", target_is_directory=True)
        fresh.replace(link)


def _write(connection: Connection, part: Path, publishing: Publishing, config: Curate, row: dict[str, Any]) -> str:
    """Write all files, the manifest last; gives the manifest's digest."""
    place = {"split": row["split"], "version": row["version"]}
    content = hashlib.sha256()
    if "jsonl" in publishing.formats:
        with (part / "train.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for record in _kept(connection, place):
                file.write(record + "\n")
    for record in _kept(connection, place):
        content.update(record.encode() + b"\n")
    if "parquet" in publishing.formats:
        _write_train_parquet(connection, part / "train.parquet", place)
    dropped = connection.execute(query("publish_dropped"), place).to_arrow_reader(BATCH_ROWS)
    _write_parquet(part / "dropped.parquet", dropped)
    parents = _records(connection, "publish_parents", {"dataset": row["dataset"], "reference": row["reference"]})
    (model,) = _records(connection, "publish_model", {"model_key": row["model_key"]})
    (part / "README.md").write_text(_card(connection, config, row, parents, model, publishing), encoding="utf-8")
    manifest = {
        "split": row["split"],
        "version": row["version"],
        "rows_kept": row["rows_kept"],
        "rows_dropped": row["rows_dropped"],
        "tokens_kept": row["tokens_kept"],
        "content_sha256": content.hexdigest(),
        "decision_hash": row["decision_hash"],
        "files": [{"path": f.name, "bytes": f.stat().st_size, "sha256": _sha256(f)} for f in sorted(part.iterdir())],
        "model": model,
        "reference": {"name": row["reference"], "content_hash": row["reference_hash"]},
        "parents": [{**parent, "files": json.loads(parent["files"])} for parent in parents],
        "config": config.model_dump(mode="json"),
        "versions": {name: version_of(name) for name in PACKAGES},
        "run_id": row["run_id"],
        "created_at": row["created_at"],
    }
    text = json.dumps(manifest, indent=2, default=str, ensure_ascii=False).encode() + b"\n"
    for written in part.iterdir():
        _to_disk(written)
    with (part / "manifest.json").open("wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return hashlib.sha256(text).hexdigest()


def _kept(connection: Connection, place: dict[str, Any]) -> Iterator[str]:
    """The records of the rows that stay, as they came in, in the order of their sample_id."""
    answer = connection.execute(query("publish_kept"), place)
    while rows := answer.fetchmany(BATCH_ROWS):
        yield from (record for (record,) in rows)


def _write_train_parquet(connection: Connection, file: Path, place: dict[str, Any]) -> None:
    """The kept records as columns, in JSON's own types: text that looks like a date stays text, a field of many types
    becomes JSON text. What guesses types from text would not give back what came in."""
    (structure,) = connection.execute(query("publish_structure"), place).fetchone() or ("{}",)
    connection.execute("SET VARIABLE structure = $structure", {"structure": structure})
    _write_parquet(file, connection.execute(query("publish_train"), place).to_arrow_reader(BATCH_ROWS))


def _write_parquet(file: Path, batches: pa.RecordBatchReader) -> None:
    with pq.ParquetWriter(file, batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _card(
    connection: Connection,
    config: Curate,
    row: dict[str, Any],
    parents: list[dict[str, Any]],
    model: dict[str, Any],
    publishing: Publishing,
) -> str:
    """The dataset card, in Hugging Face's form."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False, trim_blocks=True)  # noqa: S701
    templates.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    budget = next(
        (f", {key} {value}" for key in ("keep", "rows", "tokens") if (value := getattr(config.splitting, key))), ""
    )
    per = f", per {config.splitting.per}" if config.splitting.per else ""
    place = {"split": row["split"], "version": row["version"]}
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return templates.get_template("card.md").render(
        split=row,
        model=model,
        config=config,
        rule=budget + per,
        version=version_of("oresight"),
        train_file="train.parquet" if "parquet" in publishing.formats else "train.jsonl",
        reference=next(parent for parent in parents if parent["dataset"] == row["reference"]),
        reasons=_records(connection, "publish_reasons", place),
        checks=_records(connection, "publish_checks", {"dataset": row["dataset"]}),
        size_category=next((name for limit, name in limits if row["rows_kept"] < limit), "n>1M"),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _records(connection: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = connection.execute(query(name), parameters).to_arrow_table().to_pylist()
    return records
