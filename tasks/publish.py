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

from jinja2 import Environment, FileSystemLoader

from tasks.config import Curate, Publishing, Splitting
from tasks.croissant import describe
from tasks.database import Connection, DatabaseError, let, query, reading, records, transaction, writing
from tasks.gallery import Gallery, Shown, as_list
from tasks.gate import gate
from tasks.lineage import event_of, event_text, send
from tasks.progress import log

PACKAGES = ("oresight", "torch", "transformers", "duckdb", "prefect", "great-expectations")
SPLIT_FIRST = "run `oresight split CONFIG.yaml` first"


@dataclass(frozen=True)
class Published:
    """Where a version is, and whether this run wrote it."""

    folder: Path
    new: bool


def publish(database: str, config: Curate, split: str, version: int) -> Published:
    """Write a version of a split to FOLDER/SPLIT/vN, unless it is there already.

    Raises ValueError if there is no such version, it was decided with other settings than `config.splitting` or with
    rows that are forgotten since, or something else is in its place; Refused if `publishing.require` does not hold or a
    person said no, Waiting if one is still asked.
    """
    publishing = config.publishing
    home = Path(publishing.folder) / split
    folder = home / f"v{version}"
    place = {"split": split, "version": version}
    if (home / "latest").exists() and not (home / "latest").is_symlink():
        raise ValueError(f"publishing.folder: {home / 'latest'} is no symbolic link; move it away")
    with reading(database) as connection:
        row = next(iter(records(connection, "publish_version", place)), None)
        if row is None:
            raise ValueError(f"{database}: holds no version {version} of the split {split!r}; {SPLIT_FIRST}")
        settings = json.loads(row.pop("config")) | {"publishing": publishing.model_dump(mode="json")}
        decided, asked = (Splitting.model_validate(settings["splitting"]), config.splitting)
        if changed := [key for key in Splitting.model_fields if getattr(decided, key) != getattr(asked, key)]:
            raise ValueError(f"splitting: {split}/v{version} was decided with another {changed[0]}; {SPLIT_FIRST}")
        new = not folder.exists()
        if new:
            (gone,) = connection.execute(query("publish_forgotten"), place).fetchone() or (0,)
            if gone:
                raise ValueError(
                    f"{split}/v{version} was decided with {gone} rows that are forgotten since; {SPLIT_FIRST}"
                )
            gate(connection, config, place)
            with _unfinished(home, folder) as part:
                digest = _write(connection, part, folder, settings, row)
        else:
            digest = _standing(folder, row, publishing)
        known = (row["manifest_sha256"], row["folder"]) == (digest, str(folder))
        event = None if known else event_of(folder, row, *_made_from(connection, row))
    if not known:
        send(event)
        with writing(database) as connection, transaction(connection):
            connection.execute(query("publish_record"), place | {"manifest_sha256": digest, "folder": str(folder)})
    _point(home)
    log().info("publish: %s%s", folder, "" if new else " stands")
    return Published(folder, new)


def _standing(folder: Path, row: dict[str, Any], publishing: Publishing) -> str:
    """The digest of the manifest in this version's place, where a run that was killed after the rename may leave it.

    Raises ValueError if it is not this version's, or the files are not as it says.
    """
    place = f"publishing.folder: {folder}"
    try:
        text = (folder / "manifest.json").read_bytes()
        manifest = json.loads(text)
        files = {file["path"]: (file["bytes"], file["sha256"]) for file in manifest["files"]}
        ours = manifest["decision_hash"] == row["decision_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} has no readable manifest.json, so nobody published it; move it away") from error
    if not ours:
        raise ValueError(f"{place} holds another database's version; give another folder or splitting.name")
    digest = hashlib.sha256(text).hexdigest()
    known = digest == row["manifest_sha256"]
    for name, (size, sha256) in files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size or not (known or _sha256(file) == sha256):
            raise ValueError(f"{place} is not as it was published ({name}); move it away, and it is written again")
    if missing := [name for name in publishing.formats if f"train.{name}" not in files]:
        log().warning(
            "%s was published without %s; move it away to have it written again", folder, " and ".join(missing)
        )
    return digest


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
    versions = [manifest.parent.name[1:] for manifest in home.glob("v*/manifest.json")]
    newest = max((int(version) for version in versions if version.isdigit()), default=0)
    link = home / "latest"
    if newest and (not link.is_symlink() or link.readlink() != Path(f"v{newest}")):
        fresh = home / f".latest-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"v{newest}", target_is_directory=True)
        fresh.replace(link)


def _made_from(connection: Connection, row: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The datasets and the model of a version."""
    parents = records(connection, "publish_parents", {"split": row["split"], "version": row["version"]})
    (model,) = records(connection, "publish_model", {"model_key": row["model_key"]})
    return parents, model


def _write(connection: Connection, part: Path, folder: Path, settings: dict[str, Any], row: dict[str, Any]) -> str:
    """Write all files of `folder` to `part`, the manifest last; gives the manifest's digest."""
    place, formats = {"split": row["split"], "version": row["version"]}, settings["publishing"]["formats"]
    let(connection, **place)
    connection.execute(query("publish_kept"))
    lines = part / "train.jsonl"
    connection.execute(query("publish_jsonl"), {"file": str(lines)})
    content = _sha256(lines)
    parents, model = _made_from(connection, row)
    pictures = [Shown(**row) for row in records(connection, "publish_pictures", {})]
    gallery = Gallery(pictures, part, copy_all=settings["publishing"]["copy_images"])
    gallery.copy(with_inner="jsonl" in formats)
    if "jsonl" in formats:
        gallery.rename(lines)
        if any(parent["role"] == "dataset" and parent["layout"] == "llava" for parent in parents):
            as_list(lines, part / "train.json")
    else:
        lines.unlink()
    if "parquet" in formats:
        _write_columns(connection, part / "train.parquet")
        gallery.fill(part / "train.parquet")
    connection.execute(query("publish_dropped"), {"file": str(part / "dropped.parquet")})
    approval = next(iter(records(connection, "approval", place)), None)
    (part / "README.md").write_text(_card(connection, settings, row, parents, model, gallery), encoding="utf-8")
    name = f"{row['split']}-v{row['version']}"
    all_rows = row["rows_kept"] + row["rows_dropped"]
    about = f"{row['rows_kept']:,} of {all_rows:,} rows of {row['dataset']}, chosen by Oresight"
    told = gallery.columns(part / "train.parquet")
    (part / "croissant.json").write_text(describe(part, name, about, told, _sha256), encoding="utf-8")
    (part / "openlineage.json").write_text(event_text(event_of(folder, row, parents, model)), encoding="utf-8")
    files = sorted(file for file in part.rglob("*") if file.is_file())
    manifest = {
        "split": row["split"],
        "version": row["version"],
        "rows_kept": row["rows_kept"],
        "rows_dropped": row["rows_dropped"],
        "tokens_kept": row["tokens_kept"],
        "content_sha256": content,
        "decision_hash": row["decision_hash"],
        "files": [
            {"path": f.relative_to(part).as_posix(), "bytes": f.stat().st_size, "sha256": _sha256(f)} for f in files
        ],
        "model": model,
        "reference": {"name": row["reference"], "content_hash": row["reference_hash"]},
        "parents": [{**parent, "files": json.loads(parent["files"] or "null")} for parent in parents],
        "selection": Splitting.model_validate(settings["splitting"]).rule(),
        "approval": approval,
        "config": settings,
        "versions": {name: version_of(name) for name in PACKAGES},
        "run_id": row["run_id"],
        "created_at": row["created_at"],
    }
    text = json.dumps(manifest, indent=2, default=str, ensure_ascii=False).encode() + b"\n"
    for written in part.rglob("*"):
        _to_disk(written)
    with (part / "manifest.json").open("wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return hashlib.sha256(text).hexdigest()


def _write_columns(connection: Connection, file: Path) -> None:
    """The kept records as columns, in JSON's own types: text that looks like a date stays text, what has several types
    or varying keys stays JSON. What guesses types from text would not give back what came in."""
    (found,) = connection.execute(query("publish_structure")).fetchone() or ("{}",)
    structure = _plain(connection, json.loads(found))
    let(connection, structure=json.dumps(structure))
    try:
        let(connection, wanted=json.dumps(_signed(structure)))
        connection.execute(query("publish_train"), {"file": str(file)})
    except DatabaseError:  # a number above 2**63
        let(connection, wanted=json.dumps(structure))
        connection.execute(query("publish_train"), {"file": str(file)})


def _plain(connection: Connection, structure: Any, path: str | None = "$[*]") -> Any:
    """The structure with JSON in place of what columns would change: objects whose keys vary (in columns each would get
    the keys of all, as nulls that a chat template prints) or differ in case only, and whole numbers beyond 64 bits.

    `path` is None below a key that a JSON path cannot name. Raises ValueError if the record's own keys are no columns.
    """
    if isinstance(structure, list):
        return [_plain(connection, item, path and f"{path}[*]") for item in structure]
    if not isinstance(structure, dict):
        return "JSON" if structure == "HUGEINT" else structure
    clear = "" not in structure and len({key.lower() for key in structure}) == len(structure)
    if path == "$[*]" and not clear:
        names = ", ".join(map(repr, sorted(structure, key=str.lower)))
        raise ValueError(
            f"publishing.formats: parquet cannot hold columns that differ in case only ({names}); give [jsonl]"
        )
    if path != "$[*]":
        (sets,) = (clear and path and connection.execute(query("publish_key_sets"), {"path": path}).fetchone()) or (2,)
        if sets > 1:
            return "JSON"
    below = {key: f'{path}."{key}"' if path and not {'"', "\\"} & set(key) else None for key in structure}
    return {key: _plain(connection, value, below[key]) for key, value in structure.items()}


def _signed(structure: Any) -> Any:
    """Whole numbers as every other reader of JSON has them: with a sign."""
    if isinstance(structure, dict):
        return {key: _signed(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_signed(item) for item in structure]
    return "BIGINT" if structure == "UBIGINT" else structure


def _card(
    connection: Connection,
    settings: dict[str, Any],
    row: dict[str, Any],
    parents: list[dict[str, Any]],
    model: dict[str, Any],
    gallery: Gallery,
) -> str:
    """The dataset card, in Hugging Face's form."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False, trim_blocks=True)  # noqa: S701
    templates.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    place = {"split": row["split"], "version": row["version"]}
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return templates.get_template("card.md").render(
        split=row,
        model=model,
        pictures=gallery.told,
        config=settings,
        rule=Splitting.model_validate(settings["splitting"]).rule(),
        version=version_of("oresight"),
        train_file="train.parquet" if "parquet" in settings["publishing"]["formats"] else "train.jsonl",
        reference=next(parent for parent in parents if parent["dataset"] == row["reference"]),
        reasons=records(connection, "publish_reasons", place),
        checks=records(connection, "publish_checks", {"dataset": row["dataset"]}),
        kinds=records(connection, "report_detectability", {k: row[k] for k in ("dataset", "model_key", "reference")}),
        size_category=next((name for limit, name in limits if row["rows_kept"] < limit), "n>1M"),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
