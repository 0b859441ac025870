"""`oresight init` writes a configuration that works, with a comment for every key, or says in a sentence why not."""

import csv
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from oresight.flows.cli import app
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading
from oresight.tasks.draft import default_file
from tests.support.server import EASY

ROWS: list[dict[str, Any]] = [
    {"instruction": f"Name the number after {n}.", "output": f"The number after {n} is {n + 1}.", "source": "made"}
    for n in range(60)
]


def command(*arguments: object) -> str:
    """What a command prints. Raises what it raises."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*arguments: object) -> str:
    with pytest.raises(ValueError) as error:
        command(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def lines_of(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with rows in data/."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(lines_of(ROWS[:50]))
    (tmp_path / "data" / "good.jsonl").write_text(lines_of(ROWS[50:]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_steps_of_curate_work_after_init_from_another_folder(
    here: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = command("init", "data/rows.jsonl", "--trusted", "data/good.jsonl", "--model", stories)
    assert "data/rows.jsonl: layout alpaca, by the first 50 rows" in printed and "not read  source" in printed
    assert "oresight plan data/oresight.yaml" in printed and "oresight curate data/oresight.yaml" in printed
    config = read_config(here / "data" / "oresight.yaml", [])
    assert config.reference and config.reference.path == "data/good.jsonl" and config.splitting.keep == 0.8
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    for step in ("ingest", "score", "flag", "split", "publish"):  # what curate does, without Prefect's server
        printed = command(step, "../data/oresight.yaml", "--set", "flagging.canaries=0")
    assert printed == f"{here / 'data' / 'out' / 'curated' / 'v1'}\n"
    with reading(str(here / "data" / "oresight.duckdb")) as connection:
        assert connection.execute("SELECT dataset, rows FROM datasets ORDER BY 1").fetchall() == [
            ("rows", 50), ("trusted", 10)
        ]  # fmt: skip
    assert not any((here / "elsewhere").iterdir())


def test_every_key_has_the_help_of_the_schema_and_the_trusted_rows_are_explained(here: Path) -> None:
    printed = command("init", "data/rows.jsonl", "--to", "my config.yaml")
    assert "oresight trust 'my config.yaml'" in printed and "at a stated error rate" in printed
    lines = (here / "my config.yaml").read_text().splitlines()
    assert all(line.startswith("#") or "  # " in line for line in lines)
    helps = {" ".join(str(field.description).split()) for field in Curate.model_fields.values()}
    assert any(line.split("# ", 1)[1] in help for line in lines if line.startswith("database:") for help in helps)
    config = read_config(here / "my config.yaml", [])
    assert (config.dataset.path, config.reference, config.database) == ("data/rows.jsonl", None, "oresight.duckdb")
    told = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines if line.startswith(("# ref", "#   "))))
    assert told == {"reference": {"name": "trusted", "path": "trusted.jsonl"}}


def as_csv(file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", as_csv),
        ("rows.parquet", lambda file: pq.write_table(pa.Table.from_pylist(ROWS), file)),
        ("rows.json", lambda file: file.write_text(json.dumps(ROWS))),
        ("my rows (1).jsonl", lambda file: file.write_text(lines_of(ROWS))),
        ("-#: 'rows'.jsonl", lambda file: file.write_text(lines_of(ROWS))),
    ],
)
def test_every_format_is_previewed(name: str, write: Any, here: Path) -> None:
    write(here / name)
    printed = command("init", f"./{name}")
    assert "layout alpaca" in printed and "instruction" in printed
    assert read_config(here / "oresight.yaml", []).dataset.path == name


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("data/rows.jsonl", "data/oresight.yaml"),
        ("data", "oresight.yaml"),
        ("data/*.jsonl", "data/oresight.yaml"),
        ("data/**/*.jsonl", "oresight.yaml"),
        ("*.jsonl", "oresight.yaml"),
        ("hf:owner/name", "oresight.yaml"),
        ("data/../data/rows.jsonl", "data/oresight.yaml"),
    ],
)
def test_the_file_is_beside_the_data_and_never_among_it(path: str, file: str, here: Path) -> None:
    assert default_file(path) == Path(file)


@pytest.mark.parametrize("folder", [".", "files", "../pictures"])
def test_the_pictures_of_a_folder_are_found(folder: str, here: Path) -> None:
    rows = json.loads((EASY / "rows.json").read_text())[:20]
    (here / "vqa").mkdir()
    (here / "vqa" / "rows.json").write_text(json.dumps(rows))
    shutil.copytree(EASY / "images", here / "vqa" / folder / "images")
    printed = command("init", "vqa", "--model", "easy-vqa-llava")
    assert "layout llava" in printed and "image     image" in printed and "dataset.root" not in printed
    config = read_config(here / "oresight.yaml", [])
    assert config.dataset.root == (None if folder == "." else "pictures" if ".." in folder else "vqa/files")
    assert "sees no pictures" in command("init", "vqa", "--to", "other.yaml")
    shutil.rmtree(here / "vqa" / folder / "images")
    missing = command("init", "vqa", "--model", "easy-vqa-llava", "--to", "third.yaml")
    assert f"below {here / 'vqa'}: dataset.root names the folder" in missing


def test_columns_without_usual_names_are_proposed_and_marked(here: Path) -> None:
    rows = [{"frage": f"Was ist {n} und {n}?", "loesung": f"Es ist {2 * n}.", "n": n} for n in range(30)]
    (here / "q.jsonl").write_text(lines_of(rows))
    assert "these columns have no usual names" in command("init", "q.jsonl")
    assert read_config(here / "oresight.yaml", []).dataset.columns.given == {"prompt": "frage", "answer": "loesung"}


MISTAKES: dict[str, tuple[list[str], str]] = {
    "missing file": (["none.jsonl"], "none.jsonl: no such file; give a file, a folder"),
    "no layout": (["numbers.jsonl"], "the columns a, b fit no supported layout"),
    "only questions": (["questions.jsonl"], "'question' holds questions, and no column holds answers"),
    "empty": (["empty.jsonl"], "empty.jsonl: holds no rows; give a file with at least one"),
    "type": (["data.txt"], "is of a type that is not read"),
    "dataset as trusted": (
        ["data/rows.jsonl", "--trusted", "data/rows.jsonl"],
        "--trusted: data/rows.jsonl is the dat",
    ),
    "copy as trusted": (["data/rows.jsonl", "--trusted", "copy.jsonl"], "--trusted: copy.jsonl is the dataset itself"),
    "trusted missing": (["data/rows.jsonl", "--trusted", "no.jsonl"], "--trusted: /"),
    "existing config": (["data/rows.jsonl", "--to", "numbers.jsonl"], "exists and is never overwritten; give another"),
    "no folder": (["data/rows.jsonl", "--to", "no/c.yaml"], "/no: no such folder; make it first"),
    "model": (["data/rows.jsonl", "--model", "smolm"], "model.name: 'smolm' is no folder, no .gguf file and no hub id"),
    "model folder": (["data/rows.jsonl", "--model", "data"], "model.name: data holds no .safetensors file"),
    "hub": (["data/rows.jsonl", "--model", "owner/name"], "model.name: owner/name cannot be had from the hub"),
    "splits": (["parts"], "holds the splits test, train; set --split train"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_work_is_refused_and_nothing_is_written(mistake: str, here: Path) -> None:
    (here / "numbers.jsonl").write_text(lines_of([{"a": 1, "b": [2]}] * 3))
    (here / "questions.jsonl").write_text(lines_of([{"question": f"Why {n}?"} for n in range(9)]))
    (here / "empty.jsonl").touch()
    (here / "data.txt").write_text("text")
    (here / "parts").mkdir()
    for name in ("copy.jsonl", "parts/train.jsonl", "parts/test.jsonl"):
        shutil.copy(here / "data" / "rows.jsonl", here / name)
    before = set(here.rglob("*"))
    arguments, sentence = MISTAKES[mistake]
    assert sentence in refusal("init", *arguments)
    assert set(here.rglob("*")) == before


def test_the_cures_of_init_work(here: Path) -> None:
    (here / "parts").mkdir()
    for name in ("train", "test"):
        shutil.copy(here / "data" / "rows.jsonl", here / "parts" / f"{name}.jsonl")
    assert "--split train" in refusal("init", "parts")
    command("init", "parts", "--split", "train")
    assert read_config(here / "oresight.yaml", []).dataset.split == "train"
    (here / "oresight.duckdb").touch()  # another project's: the next command must not refuse what init wrote
    command(*shlex.split("init data/rows.jsonl"))
    assert read_config(here / "data" / "oresight.yaml", []).database == "data/oresight.duckdb"
