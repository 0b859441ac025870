"""Paths in a configuration file are relative to its folder, and those of `--set` to the current folder."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from oresight.tasks.configfile import read_config, validated
from oresight.tasks.database import turn, writing
from oresight.tasks.formats.sources import list_files
from oresight.tasks.ingest import Ingested, _source_hashes, ingest, unread_digest
from oresight.tasks.runs.record import Run

EVERY = {
    "database": "state/o.duckdb",
    "dataset": {"name": "raw", "path": "data/rows.jsonl", "root": "data/pictures"},
    "reference": {"name": "trusted", "path": "data/*.jsonl", "root": "."},
    "model": {"name": "./models/tiny", "adapter": "models/lora/"},
    "cluster": {"store": "store", "actors": 1},
    "flagging": {"checks_folder": "checks"},
    "publishing": {"folder": "out/splits"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a subfolder for configurations, and another project beside it."""
    root = tmp_path / "project"
    for folder in ("conf", "data", "models/tiny"):
        (root / folder).mkdir(parents=True)
    lines = [json.dumps({"instruction": f"Say {n}.", "output": f"It is {n}."}) + "\n" for n in range(20)]
    (root / "data" / "rows.jsonl").write_text("".join(lines))
    (root / "data" / "trusted.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(root)
    return root


def written(folder: Path, settings: dict[str, Any]) -> Path:
    file = folder / "c.yaml"
    file.write_text(json.dumps(settings))
    return file


def paths_of(model: BaseModel) -> dict[str, str]:
    """The values of all keys that are marked as paths, by key."""
    paths: dict[str, str] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            paths |= {f"{name}.{key}": path for key, path in paths_of(value).items()}
        elif "Local(" in repr((field.annotation, field.metadata)) and value is not None:
            paths[name] = value
    return paths


def test_every_path_is_relative_to_the_file_and_as_short_as_is_right(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(project, EVERY)
    expected = {
        "database": "state/o.duckdb",
        "dataset.path": "data/rows.jsonl",
        "dataset.root": "data/pictures",
        "reference.path": "data/*.jsonl",
        "reference.root": ".",
        "model.name": "./models/tiny",
        "model.adapter": "./models/lora",
        "cluster.store": "store",
        "flagging.checks_folder": "checks",
        "publishing.folder": "out/splits",
    }
    assert paths_of(read_config(file, [])) == expected
    absolute = {key: str(project / path) for key, path in expected.items()}
    assert paths_of(read_config(file, [], is_absolute=True)) == absolute
    monkeypatch.chdir(project.parent / "elsewhere")
    assert paths_of(read_config(file, [])) == absolute
    monkeypatch.chdir("/")
    assert paths_of(read_config(file, [])) == absolute
    monkeypatch.chdir(project.parent)
    assert read_config(Path("project/c.yaml"), []).dataset.path == "project/data/rows.jsonl"
    assert validated(json.loads(file.read_text())).dataset.path == "data/rows.jsonl"


def test_defaults_are_beside_the_file(project: Path) -> None:
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}})
    config = read_config(file, ["publishing={copy_images: true}"])
    assert (config.database, config.publishing.folder) == ("conf/oresight.duckdb", "conf/out")
    assert config.dataset.path == "data/rows.jsonl" and config.model.name == "smollm2-135m-instruct"
    assert set(config.model_dump(exclude_unset=True)) == {"database", "dataset", "publishing"}  # what `deploy` sends


def test_a_typed_path_is_relative_to_the_current_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}})
    monkeypatch.chdir(project / "data")
    changes = ["reference={name: t, path: trusted.jsonl}", "database=o.duckdb", "model.name=../models/tiny"]
    config = read_config(file, changes)
    assert config.reference and config.reference.path == "trusted.jsonl" and config.database == "o.duckdb"
    assert config.dataset.path == "rows.jsonl" and config.model.name == str(project / "models" / "tiny")


@pytest.mark.parametrize("text", ["hf:owner/name", "hf:owner/name:train", "/data/rows.jsonl", "https://a.b/c.jsonl"])
def test_what_is_no_relative_path_stays(text: str, project: Path) -> None:
    settings = {"dataset": {"name": "raw", "path": text}, "cluster": {"store": "s3://bucket/x", "actors": 1}}
    config = read_config(written(project / "conf", settings), [])
    assert config.dataset.path == text and config.cluster and config.cluster.store == "s3://bucket/x"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/name", "owner/name"),
        ("models/tiny", "./models/tiny"),
        ("./owner/name", "./owner/name"),
        ("weights/a.gguf", "./weights/a.gguf"),
        ("easy-vqa-llava", "easy-vqa-llava"),
        ("./easy-vqa-llava", "./easy-vqa-llava"),
    ],
)
def test_a_models_name_is_a_path_if_it_exists_or_looks_so(name: str, expected: str, project: Path) -> None:
    (project / "easy-vqa-llava").mkdir()
    settings = {"dataset": {"name": "raw", "path": "data/rows.jsonl"}, "model": {"name": name}}
    assert read_config(written(project, settings), []).model.name == expected


def test_a_linked_file_has_the_folder_of_the_link_and_a_home_is_expanded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "rows.jsonl"}, "database": "~/o.duckdb"})
    (project / "data" / "linked.yaml").symlink_to(file)
    monkeypatch.setenv("HOME", str(project / "models"))
    config = read_config(project / "data" / "linked.yaml", [])
    assert (config.dataset.path, config.database) == ("data/rows.jsonl", "models/o.duckdb")
    (project / "shortcut").symlink_to(project / "models" / "tiny")  # a folder: `..` is above what it leads to
    (project / "shortcut" / "c.yaml").write_text(
        json.dumps({"dataset": {"name": "raw", "path": "../../data/rows.jsonl"}})
    )
    assert read_config(project / "shortcut" / "c.yaml", []).dataset.path == "data/rows.jsonl"


def test_a_file_from_a_pipe_has_the_current_folder(project: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, json.dumps({"dataset": {"name": "raw", "path": "data/rows.jsonl"}}).encode())
    os.close(writer)
    assert read_config(Path(f"/dev/fd/{reader}"), []).dataset.path == "data/rows.jsonl"
    os.close(reader)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("dataset.path", "data/rows.jsonl"),
        ("dataset.path", "data/*.jsonl"),
        ("dataset.root", "./data"),
        ("reference.path", "data"),
        ("model.name", "models/tiny"),
        ("model.adapter", "./models/tiny"),
        ("flagging.checks_folder", "data"),
        ("database", "old.duckdb"),
    ],
)
def test_a_path_that_works_from_the_current_folder_only_is_explained(key: str, text: str, project: Path) -> None:
    (project / "old.duckdb").touch()

    def settings(text: str) -> dict[str, Any]:
        tree: dict[str, Any] = {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}, "reference": {"name": "t"}}
        tree["reference"]["path"] = "../data/trusted.jsonl"
        *sections, last = key.split(".")
        section = tree.setdefault(sections[0], {}) if sections else tree
        section[last] = text
        return tree

    file = written(project / "conf", settings(text))
    with pytest.raises(ValueError, match="paths are relative to the configuration file") as error:
        read_config(file, [])
    message = str(error.value)
    assert message.startswith(f"{file}, line 1: {key}: there is no {project / 'conf' / text}, and paths are")
    read_config(written(project / "conf", settings(message.split("write '")[1].split("'")[0])), [])


def test_the_default_database_of_the_current_folder_is_not_silently_replaced(project: Path) -> None:
    (project / "oresight.duckdb").touch()
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}})
    with pytest.raises(ValueError, match="database: there is no") as error:
        read_config(file, [])
    absolute = project / "conf" / "oresight.duckdb"
    assert str(error.value).endswith(f"write '../oresight.duckdb', or '{absolute}' for a new one")
    assert read_config(file, [f"database={absolute}"]).database == "conf/oresight.duckdb"


def ingested(file: Path) -> Ingested:
    config = read_config(file, [])
    with turn(config.database):
        return ingest(Run(config, "test"), "dataset")


def test_files_are_not_read_again_from_another_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}})
    assert not ingested(file).reused
    monkeypatch.chdir(project.parent / "elsewhere")
    assert ingested(file).reused
    os.utime(project / "data" / "rows.jsonl", (0, 0))
    assert unread_digest(read_config(file, []), "dataset") is None


@pytest.mark.parametrize("spelling", [1, 2])
def test_files_that_an_older_release_read_are_not_read_again(spelling: int, project: Path) -> None:
    """It stored a hash with paths from the current folder, or absolute ones."""
    file = written(project / "conf", {"dataset": {"name": "raw", "path": "../data/rows.jsonl"}})
    ingested(file)
    config = read_config(file, [])
    older = _source_hashes(list_files("data/rows.jsonl", None)[0], config.dataset, "dataset", "unknown/o.duckdb")
    with turn(config.database), writing(config.database) as connection:
        connection.execute("UPDATE store.datasets SET source_hash = ?", [older[spelling]])
    assert ingested(file).reused
