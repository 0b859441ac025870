"""Mistakes in a configuration or a command: each becomes one sentence with the place, the value and the cure."""

import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oresight.flows.cli import app
from oresight.flows.commands.ending import exit_code_of
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading, turn
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run

GOOD = """dataset: {name: support, path: rows.jsonl}
reference: {name: trusted, path: trusted.jsonl}
splitting: {keep: 0.8}
"""
CHANGES = {
    "splitting.keep=80": "splitting.keep: is 80, but it is a share between 0 and 1; for 80 rows say rows: 80",
    "splitting.keep=0": "splitting.keep: is 0, but must be more than 0",
    "splitting.keep=most": 'splitting.keep: is "most", but must be a number',
    "splitting.rows=0.5": "splitting.rows: is 0.5, but must be a whole number",
    "splitting.kep=0.8": "splitting.kep: is not a key (did you mean keep?); the keys here are name, drop, keep",
    "splitting.drop=flaged": "splitting.drop: is \"flaged\", but must be 'flagged' or 'nothing' (did you mean",
    "modle.name=x": "modle: is not a key (did you mean model?); the keys here are database, memory_limit, dataset",
    "dataset.paht=x": "dataset.paht: is not a key (did you mean path?)",
    "dataset.keep=0.5": "dataset.keep: is not a key; it belongs to splitting.keep; the keys here are name, path",
    "dataset.batch_tokens=9": "dataset.batch_tokens: is not a key; it belongs to scoring.batch_tokens",
    "dataset.name=3": "dataset.name: is 3, but must be a text; put it in quotes",
    "dataset=null": "dataset: is null, but must be keys with values, such as {key: value}",
    "scoring=3": "scoring: is 3, but must be keys with values, such as {key: value}",
    "scoring.batch_tokens=lots": 'scoring.batch_tokens: is "lots", but must be a whole number',
    "flagging.error=guarantied": "flagging.error: is \"guarantied\", but must be 'estimated' or 'guaranteed' (did you",
    "model.device=gpu": "model.device: is \"gpu\", but must be 'auto', 'cuda', 'mps' or 'cpu'",
    "publishing.formats=parquet": 'publishing.formats: is "parquet", but must be a list, such as [a, b]',
    "publishing.copy_images=perhaps": 'publishing.copy_images: is "perhaps", but must be true or false',
    "dataset.path=''": 'dataset.path: is "", but must not be empty',
    "database=' '": 'database: is "", but must not be empty',
    "database=.": "database: {here} is a folder; give a file, such as oresight.duckdb",
    "database=s3://a/b.duckdb": "database: is 's3://a/b.duckdb', but must be a path on this machine",
    "database=null": "database: is null, but must be a text",
    "dataset=rows.jsonl": 'dataset: is "rows.jsonl", but must be keys with values, such as {name: rows, path',
    "dataset.name=my rows": 'dataset.name: is "my rows", but must be letters, digits, ., _ and -, and begin',
    "dataset.name=trusted": "dataset.name and reference.name are both 'trusted': give each its own name",
    "dataset.columns={frage: q}": "dataset.columns.frage: is not a key; the keys here are prompt, answer",
    "dataset.columns.image=3": "dataset.columns.image: give the name of a column, a list of names, or false for none",
    "dataset={name: a, paht: b}": "dataset.paht: is not a key (did you mean path?)",
    "dataset.split=''": 'dataset.split: is "", but must not be empty',
    "model=owner/name": 'model: is "owner/name", but must be keys with values, such as {name: owner/name}',
    "scoring.batch_tokens=1e25": 'scoring.batch_tokens: is "1e25", but must be a whole number',
    "scoring.batch_tokens=1.0e+25": "scoring.batch_tokens: is 1e+25, but must be a smaller whole number",
    "scoring.batch_tokens=99999999": "scoring.batch_tokens: is 99999999, but must be at most 10000000",
    "splitting.seed=1.0e+25": "splitting.seed: is 1e+25, but must be a smaller whole number",
    "splitting.rows=9999999999999999": "splitting.rows: is 1e+16, but must be at most 1e+15",
    "splitting.keep=80%": 'splitting.keep: is "80%", but must be a number, such as 0.8',
    "splitting.keep=0,5": 'splitting.keep: is "0,5", but must be a number, such as 0.5',
    "splitting.keep=.nan": "splitting.keep: is NaN, but must be a finite number",
    "splitting.rows=9": "splitting: give one of keep, rows and tokens, not keep and rows",
    "splitting.length_penalty=1": "splitting: length_penalty works with by: value only, not with by: match; remove one",
    "splitting.drop={suspicous: 0.1}": "splitting.drop.suspicous: is not a key (did you mean suspicious?)",
    "splitting.drop={suspicious: 10}": "splitting.drop.suspicious: is 10, but must be less than 1",
    "publishing.folder=/": 'publishing.folder: is "/", but must be a folder below it, such as out',
    "publishing.folder=s3://bucket/out": "publishing.folder: is 's3://bucket/out', but must be a path on this machine",
    "publishing.approval_hours=.inf": "publishing.approval_hours: is Infinity, but must be a finite number",
    "publishing.approval_hours=9000": "publishing.approval_hours: is 9000, but must be at most 8760",
    "publishing.formats=[]": "publishing.formats: is [], but must be a list of at least one",
    "publishing.require=better": "publishing.require.better: is not a key; the keys here are false_flags",
    "flagging.parameters={a: [1]}": "flagging.parameters.a: is [1], but must be a number, a text, true or false",
    "cluster={store: ftp://a, actors: 1}": "cluster.store: 'ftp://a' is neither a folder nor s3://bucket/prefix",
}
MALFORMED = {
    "splitting": "write key.subkey=value, for instance --set splitting.keep=0.5",
    "dataset..path=x": "write key.subkey=value",
    "dataset.name.x=y": "name holds a value, not keys; set name itself",
    "splitting.keep=[": "the value is not YAML; put it in quotes",
}
"""Changes that cannot be applied."""
OFTEN = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijklm"))
"""A list that holds the same lists so often that nobody can write it out."""
FILES = {
    "tab.yaml": ("dataset:\n\tname: a\n", "{file}: is not YAML (while scanning"),
    "list.yaml": ("- dataset\n", "{file}: must hold keys such as 'dataset:' and 'reference:', not a list"),
    "twice.yaml": (GOOD + "splitting: {rows: 3}\n", "{file}, line 4: splitting is there twice; remove one of them"),
    "inner.yaml": ("dataset:\n  path: a\n  path: b\n", "{file}, line 3: path is there twice; remove one of them"),
    "rows.jsonl": ("{}\n", "{file}: holds rows, not a configuration; `oresight init {file}` writes one"),
    "itself.yaml": ("dataset: &d {name: a, path: *d}\n", "{file}: an anchor (&) stands in itself; write the value out"),
    "list_itself.yaml": ("a: [&d [1, *d]]\n", "{file}: an anchor (&) stands in itself; write the value out"),
    "date.yaml": ("2026-01-01: 1\n", '{file}: the key "2026-01-01" is no text; put it in quotes'),
    "often.yaml": (OFTEN, "{file}, line 1: a: is not a key"),
    "endless.yaml": ("# \n" * 4_000_000, "{file}: is longer than 10,000,000 characters, so it is no configuration"),
    "binary.yaml": ("\x00", "{file}: is not YAML ("),
    "none.yaml": (None, "{file}: cannot be read (No such file or directory); give the path of a YAML file; `oresight"),
}
"""Files that are no configuration."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    return file


def sentence(file: Path, *changes: str) -> str:
    with pytest.raises(ValueError) as error:
        read_config(file, list(changes))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_change_is_blamed_on_the_option(change: str, file: Path) -> None:
    message = sentence(file, change)
    if change == "dataset.name=trusted":  # no single key is to blame
        assert message == f"{file}: configuration: {CHANGES[change]}"
    else:
        assert message.startswith(f"--set {change}: {CHANGES[change].replace('{here}', str(Path.cwd()))}")


@pytest.mark.parametrize("change", MALFORMED)
def test_a_change_that_cannot_be_applied_is_blamed(change: str, file: Path) -> None:
    assert sentence(file, change).startswith(f"--set {change}: {MALFORMED[change]}")


def test_a_line_break_in_a_change_stays_out_of_the_message(file: Path) -> None:
    assert sentence(file, "a\nb").startswith("--set a b: write key.subkey=value")
    assert sentence(file, "a\nb=1").startswith("--set a b=1: a b: is not a key")


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_configuration_is_refused(name: str, tmp_path: Path) -> None:
    text, expected = FILES[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    assert sentence(tmp_path / name).startswith(expected.replace("{file}", str(tmp_path / name)))


def test_a_wrong_value_in_the_file_is_blamed_on_its_line_also_beside_changes(file: Path) -> None:
    file.write_text(GOOD.replace("0.8", "80"))
    expected = f"{file}, line 3: splitting.keep: is 80, but it is a share between 0 and 1; for 80 rows say rows: 80"
    assert sentence(file) == sentence(file, "splitting.name=mine", "scoring.max_tokens=64") == expected


def test_of_several_changes_the_last_one_of_the_key_is_blamed(file: Path) -> None:
    assert sentence(file, "splitting.keep=0.5", "splitting.keep=5").startswith("--set splitting.keep=5: splitting.keep")
    assert sentence(file, "splitting={keep: 5}").startswith("--set splitting={keep: 5}: splitting.keep: is 5")


def test_a_missing_key_is_named(file: Path) -> None:
    file.write_text("dataset: {name: support}\n")
    assert sentence(file) == f"{file}, line 1: dataset.path: is missing"


def test_a_long_value_is_shortened(file: Path) -> None:
    assert len(sentence(file, f"splitting.rows=[{', '.join(map(str, range(999)))}]").split(": ")[-1]) < 120


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of twenty rows."""
    folder = tmp_path_factory.mktemp("mistakes")
    rows = [json.dumps({"instruction": f"Say {n}.", "input": "", "output": f"It is {n}."}) + "\n" for n in range(20)]
    (folder / "rows.jsonl").write_text("".join(rows))
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "said", "path": str(folder / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(folder / "rows.jsonl")},
        }
    )
    with turn(config.database):
        ingest(Run(config, "test"), "dataset")
    return Path(config.database)


def command(*arguments: str) -> str:
    """What a command prints. Raises what it raises."""
    done = CliRunner().invoke(app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def ids_in(database: str | Path) -> tuple[list[str], str]:
    """The sample_ids in a database, and a character that several of them begin with."""
    with reading(str(database)) as connection:
        ids = [name for (name,) in connection.execute("SELECT sample_id FROM rows").fetchall()]
    return ids, next(first for first in "0123456789abcdef" if sum(name.startswith(first) for name in ids) > 1)


def test_a_cure_names_the_configuration_at_hand(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spaced = file.rename(file.with_name("my rows.yaml"))
    (file.parent / "rows.jsonl").write_text("")
    monkeypatch.setattr("sys.argv", ["oresight", "score", str(spaced), "--set", f"database={file.parent}/o.duckdb"])
    assert exit_code_of(app) == 2
    assert f"run `oresight ingest '{spaced}'` first" in capsys.readouterr().err


def test_the_version_is_printed_without_a_command() -> None:
    assert command("--version") == f"oresight {version('oresight')}\n"


def test_a_beginning_that_one_row_has_names_the_row(database: Path) -> None:
    ids, shared = ids_in(database)
    assert command("explain", ids[0][:12], "--database", str(database)) == command(
        "explain", ids[0], "--database", str(database)
    )
    for several in ([shared, "several rows"], ["", "no row has"], ["nothing", "no row has the sample_id nothing"]):
        with pytest.raises(ValueError, match=several[1]):
            command("explain", several[0], "--database", str(database))


def test_a_row_is_forgotten_by_a_beginning_and_only_if_it_is_the_only_one(database: Path, tmp_path: Path) -> None:
    copy = str(tmp_path / "o.duckdb")
    command("backup", copy, "--database", str(database))
    ids, shared = ids_in(copy)
    with pytest.raises(ValueError, match="several rows have a sample_id that begins with"):
        command("forget", shared, "--reason", "asked for", "--database", copy)
    assert command("forget", ids[0][:12], "--reason", "asked for", "--database", copy).startswith(
        f"{ids[0]}: forgotten"
    )
    with reading(copy) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (len(ids) - 1,)


def test_all_of_several_queries_are_answered(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oresight.flows.commands.questions.run_separately", lambda work: work())
    asked = ("sql", "SELECT 1 AS a; SELECT 2 AS b;", "--database", str(database), "--format", "csv")
    assert command(*asked) == "a\n1\nb\n2\n"
    with pytest.raises(ValueError, match="DROP"):
        command("sql", "SELECT 1; DROP TABLE store.rows", "--database", str(database))


def test_a_backup_into_a_missing_folder_is_refused_with_its_path(database: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path / 'none'}: no such folder; make it first"):
        command("backup", str(tmp_path / "none" / "b.duckdb"), "--database", str(database))
