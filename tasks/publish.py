"""A split -> a folder that a trainer reads like the raw file.

The manifest is written last and the complete folder is renamed into place. A published version is never changed.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oresight.tasks.config import Curate, Splitting
from oresight.tasks.database import Connection, execute, newest_version, reading, records, transaction, writing
from oresight.tasks.publishing.card import card_text
from oresight.tasks.publishing.croissant import describe
from oresight.tasks.publishing.folder import flush_to_disk, point_to_newest, sha256_of, unfinished_folder
from oresight.tasks.publishing.gate import gate
from oresight.tasks.publishing.integrity import MANIFEST, problems_of
from oresight.tasks.publishing.lineage import event_of, event_text, send
from oresight.tasks.publishing.rows import write_rows
from oresight.tasks.publishing.signature import SIGNATURE, private_key
from oresight.tasks.publishing.version import Version, read_version
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

PACKAGES = ("oresight", "torch", "transformers", "duckdb", "prefect", "great-expectations")
SPLIT_FIRST = "run `oresight split CONFIG.yaml` first"


@dataclass(frozen=True)
class Published:
    """The folder of a version, and whether this run wrote it."""

    folder: Path
    new: bool


def publish(run: Run, version: int | None = None) -> Published:
    """Write a version of the split, by default the newest, to FOLDER/SPLIT/vN, unless it is there already.

    Raises ValueError if there is no such version, it was decided with other settings than `config.splitting` or with
    rows that were forgotten since, or the folder holds something else; Refused if `publishing.require` is not met or a
    person rejected the version; Waiting if the person has not answered yet.
    """
    config, split = run.config, run.config.splitting.name
    if version is None:
        version = newest_version(config.database, split)
    home = Path(config.publishing.folder) / split
    folder = home / f"v{version}"
    if (home / "latest").exists() and not (home / "latest").is_symlink():
        raise ValueError(f"publishing.folder: {home / 'latest'} is no symbolic link; move it away")
    if folder.is_symlink():
        raise ValueError(f"publishing.folder: {folder} is a symbolic link; move it away")
    with reading(config.database) as connection:
        decided = _decided(connection, config, version)
        digests = {digest for (digest,) in execute(connection, "publish_digests", decided.parameters).fetchall()}
        if new := not folder.exists():
            _require_publishable(connection, config, decided)
    key = private_key(config.publishing.sign) if new and config.publishing.sign else None
    digest = _write_folder(config.database, folder, decided, key) if new else _verified(folder, decided, digests)
    is_recorded = (decided.row["manifest_sha256"], decided.row["folder"]) == (digest, str(folder))
    if not is_recorded:
        send(event_of(folder, decided))
        with writing(config.database) as connection, transaction(connection):
            record = {"manifest_sha256": digest, "folder": str(folder)}
            execute(connection, "publish_record", decided.parameters | record)
    point_to_newest(home)
    log().info("publish: %s%s", folder, "" if new else " stands")
    return Published(folder, new)


def _decided(connection: Connection, config: Curate, number: int) -> Version:
    """The version to publish. Raises ValueError if there is none, or it was decided with other settings."""
    split = config.splitting.name
    version = read_version(connection, config, split, number)
    if version is None:
        raise ValueError(f"{config.database}: holds no version {number} of the split {split!r}; {SPLIT_FIRST}")
    decided, configured = version.splitting, config.splitting
    if changed := [key for key in Splitting.model_fields if getattr(decided, key) != getattr(configured, key)]:
        raise ValueError(f"splitting: {split}/v{number} was decided with another {changed[0]}; {SPLIT_FIRST}")
    return version


def _require_publishable(connection: Connection, config: Curate, version: Version) -> None:
    """Raises ValueError if rows of the version were forgotten since it was decided, and whatever the gate raises."""
    (forgotten,) = execute(connection, "publish_forgotten", version.parameters).fetchone() or (0,)
    if forgotten:
        name = f"{version.row['split']}/v{version.row['version']}"
        raise ValueError(f"{name} was decided with {forgotten} rows that are forgotten since; {SPLIT_FIRST}")
    gate(connection, config, version.parameters)


def _verified(folder: Path, version: Version, digests: set[str]) -> str:
    """Digest of the manifest in an existing folder, which may come from a run that was killed after the rename.

    digests: those of the manifests that this database wrote for the version. Raises ValueError if the manifest is none
    of them, or the files differ from it.
    """
    field = f"publishing.folder: {folder}"
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = json.loads(text)
        ours = manifest["decision_hash"] == version.row["decision_hash"]
        names = {file["path"] for file in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{field} has no readable manifest.json and is no published version; move it away") from error
    if not ours:
        raise ValueError(f"{field} holds another database's version; give another folder or splitting.name")
    if problems := problems_of(folder, digests):
        raise ValueError(f"{field} is not as it was published ({problems[0]}); move it away, and it is written again")
    if missing := [name for name in version.formats if f"train.{name}" not in names]:
        log().warning(
            "%s was published without %s; move it away to have it written again", folder, " and ".join(missing)
        )
    return hashlib.sha256(text).hexdigest()


def _write_folder(database: str, folder: Path, version: Version, key: Ed25519PrivateKey | None) -> str:
    """Write the folder of a version; returns the digest of its manifest. key: signs the manifest.

    The database knows the digest before the folder has its name, so that it never has to believe a folder.
    """
    with unfinished_folder(folder.parent, folder) as part:
        with reading(database) as connection:
            text = _write(connection, part, folder, version, key)
        digest = hashlib.sha256(text).hexdigest()
        with writing(database) as connection:
            record = {"manifest_sha256": digest, "folder": str(folder.absolute())}
            execute(connection, "publish_insert", version.parameters | record)
    return digest


def _write(connection: Connection, part: Path, folder: Path, version: Version, key: Ed25519PrivateKey | None) -> bytes:
    """Write all files of the version to `part`, the manifest last; returns the manifest.

    part: the unfinished folder. folder: the path that it will be renamed to, which lineage names.
    """
    rows = write_rows(connection, part, version)
    row = version.row
    (part / "README.md").write_text(card_text(connection, version, rows), encoding="utf-8")
    name = f"{row['split']}-v{row['version']}"
    all_rows = row["rows_kept"] + row["rows_dropped"]
    about = f"{row['rows_kept']:,} of {all_rows:,} rows of {row['dataset']}, chosen by Oresight"
    picture_columns = rows.gallery.columns(part / "train.parquet")
    (part / "croissant.json").write_text(describe(part, name, about, picture_columns, sha256_of), encoding="utf-8")
    (part / "openlineage.json").write_text(event_text(event_of(folder, version)), encoding="utf-8")
    approval = next(iter(records(connection, "approval", version.parameters)), None)
    text = _manifest(part, version, rows.content, approval, key)
    if key:
        (part / SIGNATURE).write_bytes(key.sign(text))
    for written in part.rglob("*"):
        flush_to_disk(written)
    with (part / MANIFEST).open("wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return text


def _manifest(
    part: Path, version: Version, content: str, approval: dict[str, object] | None, key: Ed25519PrivateKey | None
) -> bytes:
    """The manifest: the files of the folder and what they were made from. content: digest of the kept records."""
    row = version.row
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
            {"path": file.relative_to(part).as_posix(), "bytes": file.stat().st_size, "sha256": sha256_of(file)}
            for file in files
        ],
        "model": version.model,
        "reference": {"name": row["reference"], "content_hash": row["reference_hash"]} if row["has_trusted"] else None,
        "parents": [{**parent, "files": json.loads(parent["files"] or "null")} for parent in version.parents],
        "selection": version.rule,
        "approval": approval,
        **({"signed_by": key.public_key().public_bytes_raw().hex()} if key else {}),
        "config": version.settings,
        "versions": {name: version_of(name) for name in PACKAGES},
        "run_id": row["run_id"],
        "created_at": row["created_at"],
    }
    return json.dumps(manifest, indent=2, default=str, ensure_ascii=False).encode() + b"\n"
