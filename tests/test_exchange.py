"""The files that the nodes of a cluster share, without a cluster: what the database gets of them, what is refused."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from oresight.flows.commands.operations import forget, merge
from oresight.flows.commands.plan import plan
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import find
from oresight.tasks.workload import exchange as files
from oresight.tasks.workload.commit import ScoringJob
from oresight.tasks.workload.exchange import Exchange
from oresight.tasks.workload.scorer import Orders, Scorer
from oresight.tasks.workload.shards import Shard, cut
from oresight.tasks.workload.store import Store
from oresight.tasks.workload.todo import read_todo
from tests.support.clustered import DOLLY, OPENING, SHARD, configured, score, stored
from tests.support.environments import ROOT
from tests.support.scored import ask

ROWS = 90
PICTURES = ROOT / "tests" / "data" / "easy_vqa"


class DeadHead:
    """What a head leaves that has fitted the reference and cut the rows, and then died."""

    def __init__(self, config: Curate) -> None:
        self.config = config
        with reading(config.database) as connection:
            scope = Run(config).scope(connection)
            todo = read_todo(connection, scope)
        self.shards = cut(config.database, scope, todo.missing, SHARD)
        assert todo.fitted
        self.exchange = Exchange.of(config, self.shards.label, todo.fitted)
        self.exchange.write_fit(todo.fitted)
        self.orders = Orders(config=config, scope=scope, run_id="worker", exchange=self.exchange, dtype="float32")

    def shard(self, number: int) -> Shard:
        return self.shards.read(self.shards.unfinished[number])

    def score(self, *numbers: int) -> None:
        """Score shards as an actor does."""
        scorer = Scorer(self.orders)
        scorer.open()
        for number in numbers:
            self.exchange.write_shard(self.shard(number))
            scorer.score(self.shard(number).name, f"attempt {number}")

    def write(self, number: int, table: pa.Table) -> None:
        self.exchange.store.write(f"out/{self.shard(number).name}.parquet", files.parquet_bytes(table))


def fit_and_die(config: Curate) -> None:
    def dies(_shard: Callable[[int], int]) -> Callable[[int], int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(config.model_copy(update={"cluster": None}), as_task=dies)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, stories: Path) -> Path:
    """The folder of a run with a dead head, which the tests copy."""
    folder = tmp_path_factory.mktemp("fitted")
    fit_and_die(configured(folder, stories, DOLLY[:ROWS]))
    return folder


@pytest.fixture
def head(tmp_path: Path, stories: Path, fitted: Path) -> DeadHead:
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    return DeadHead(configured(tmp_path, stories, DOLLY[:ROWS], address="auto"))


def written(config: Curate, tmp_path: Path) -> Path:
    """The configuration as a file, with the absolute path of its reference."""
    reference = {"reference": {"name": config.reference_name, "path": str(ROOT / "tests/data/trusted.jsonl")}}
    (tmp_path / "config.yaml").write_text(json.dumps(config.model_dump(mode="json") | reference))
    return tmp_path / "config.yaml"


def test_what_actors_left_is_merged_once_and_equal_to_the_last_digit(
    head: DeadHead, tmp_path: Path, stories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = configured(tmp_path / "whole", stories, DOLLY[:ROWS])
    score(whole)
    config = written(head.config, tmp_path)
    merge(config)
    assert capsys.readouterr().out == f"nothing to merge\n50 rows are left; `oresight score {config}` scores them\n"
    head.score(1)
    merge(config)
    said = capsys.readouterr().out
    assert said.startswith("merged 1 shards: 18 rows scored, 0 cannot be scored\n32 rows are left;")
    merge(config)
    assert capsys.readouterr().out.startswith("nothing to merge\n32 rows")
    head.score(0, 1)
    merge(config)
    assert capsys.readouterr().out == "merged 1 shards: 32 rows scored, 0 cannot be scored\n"
    assert stored(head.config) == stored(whole)
    assert not Path(head.exchange.store.url).exists() and not Path(f"{head.config.database}.shards").exists()
    ((devices,),) = ask(
        head.config, "SELECT notes->>'cluster_devices' FROM store.runs ORDER BY started_at DESC LIMIT 1"
    )
    assert json.loads(devices) == {"cpu in float32": 1}


def with_facts(table: pa.Table, **facts: str) -> pa.Table:
    return table.replace_schema_metadata(table.schema.metadata | {key.encode(): fact for key, fact in facts.items()})


DAMAGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "it was scored with another fit (00000000, not": lambda table: with_facts(table, fit="0" * 64),
    "it was scored with another fit (none, not": lambda table: table.replace_schema_metadata(None),
    "it does not say how it was scored": lambda table: with_facts(table, refusals="[1]"),
    "its columns are not those of scores": lambda table: table.drop_columns(["nll"]),
    "its rows are not those of the shard": lambda table: table.slice(1),
    "its rows are not those of the shard ": lambda table: pa.concat_tables([table, table.slice(0, 1)]),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_results_that_are_not_the_shards_are_refused(
    head: DeadHead, tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    head.score(0, 1)
    name = head.shard(0).name
    table = files._read_parquet(head.exchange.store.read(f"out/{name}.parquet", 2**30))
    head.write(0, DAMAGES[reason](table))
    merge(written(head.config, tmp_path))
    assert f"out/{name}.parquet is refused: {reason.strip()}" in caplog.text
    assert head.exchange.scored_names() == {head.shard(1).name}, "it is deleted, so that it is scored again"
    assert ask(head.config, "SELECT count(*) FROM scores") == [(60 + OPENING + 18,)]


@pytest.mark.parametrize("content", [b"", b"PAR1 no table", b"PAR1" * 9])
def test_results_that_cannot_be_read_or_are_too_large_are_refused(
    head: DeadHead, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILE_BYTES", 32)
    head.exchange.store.write(f"out/{head.shard(0).name}.parquet", content)
    merge(written(head.config, tmp_path))
    reason = "has 36 bytes; at most 32 are read" if len(content) > 32 else "it cannot be read"
    assert "is refused: it cannot be read" in caplog.text and reason in caplog.text


def test_an_actor_refuses_a_fit_that_was_changed_and_a_model_that_is_not_the_heads(
    head: DeadHead, tmp_path: Path
) -> None:
    (fit,) = Path(head.exchange.store.url).glob("fit-*.safetensors")
    content = fit.read_bytes()
    fit.write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match=r"fit-\w+\.safetensors was changed; delete it, then run again"):
        head.score(0)
    fit.write_bytes(content)
    other = shutil.copytree(head.config.model.name, tmp_path / "other")
    (other / "tokenizer_config.json").write_text("{}")
    for name, sentence in ((str(other), "the model is not the head's"), ("/gone", "'/gone' is no folder")):
        model = head.config.model.model_copy(update={"name": name})
        config = head.config.model_copy(update={"model": model})
        head.orders = replace(head.orders, config=config)
        with pytest.raises(ValueError, match=rf"cluster: on \S+, .*{sentence}.*; all nodes must see the same files"):
            head.score(0)


def test_an_actor_obeys_the_heads_dtype_and_says_what_it_changed(head: DeadHead) -> None:
    scorer = Scorer(replace(head.orders, dtype="mixed"))
    scorer.open()
    assert scorer.engine.model.dtype_name == "mixed"
    scorer.engine.options.on_halved(512)
    head.exchange.write_shard(head.shard(0))
    said = [scorer.score(head.shard(0).name, attempt) for attempt in ("first", "second")]
    assert said == [f"out of memory on {scorer.host}; it goes on with scoring.batch_tokens: 512", ""]
    assert head.exchange.read_scores(head.shard(0)).device == "cpu in mixed"
    assert [head.exchange.has_started(attempt) for attempt in ("first", "second", "third")] == [True, True, False]


def test_another_type_of_device_than_the_heads_can_be_refused(
    head: DeadHead, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def orders(**cluster: Any) -> Orders:
        section = {"store": "s", "actors": 1} | cluster
        config = Curate.model_validate(head.config.model_dump() | {"cluster": section})
        job = ScoringJob(
            run=Run(config), scope=head.orders.scope, model=load(find(str(stories))), advance=lambda *_: None
        )
        return Orders.of(job, head.exchange)

    monkeypatch.chdir(stories.parent)
    assert orders(same_device=True).config.model.name == str(stories)
    with pytest.raises(ValueError, match="same_device: the head scores on cpu and the actors on cuda; set it to false"):
        orders(same_device=True, gpus=1)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"cluster\.gpus: torch sees no GPU on"):
            Scorer(orders(gpus=1)).open()


def test_an_actor_refuses_a_picture_that_is_missing_or_another(tmp_path: Path) -> None:
    root = shutil.copytree(PICTURES, tmp_path / "pictures")
    rows, trusted = (json.loads((PICTURES / f"{name}.json").read_text()) for name in ("rows", "trusted"))
    (root / "rows.json").write_text(json.dumps(rows[: OPENING + 10]))
    (root / "trusted.json").write_text(json.dumps(trusted[:20]))
    config = Curate.model_validate(
        {
            "database": str(tmp_path / "o.duckdb"),
            "dataset": {"name": "easy", "path": str(root / "rows.json")},
            "reference": {"name": "trusted", "path": str(root / "trusted.json")},
            "model": {"name": "easy-vqa-llava", "device": "cpu"},
            "cluster": {"store": str(tmp_path / "store"), "actors": 1, "shard_rows": SHARD},
        }
    )
    fit_and_die(config)
    head = DeadHead(config)
    picture = Path(head.shard(0).rows[0]["images"][0]["path"])
    picture.write_bytes(picture.read_bytes() + b"?")
    for reason in ("has changed since it was ingested", "cannot be read"):
        with pytest.raises(ValueError, match=rf"cluster: on \S+, the picture {picture} {reason}.* see the same files"):
            head.score(0)
        picture.unlink(missing_ok=True)


def test_a_file_is_in_the_store_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.of(str(tmp_path), "run")
    assert store.names("out", ".parquet") == set()
    store.write("out/a.parquet", b"old")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        for name in ("a", "b"):
            with pytest.raises(OSError, match="No space left"):
                store.write(f"out/{name}.parquet", b"new")
    assert store.names("out", ".parquet") == {"a"} and store.read("out/a.parquet", 3) == b"old"
    assert [file.name for file in (tmp_path / "run" / "out").iterdir()] == ["a.parquet"]
    with pytest.raises(ValueError, match=r"a\.parquet has 3 bytes; at most 2 are read"):
        store.read("out/a.parquet", 2)
    with pytest.raises(FileNotFoundError):
        store.read("out/b.parquet", 2)
    monkeypatch.chdir(tmp_path)
    assert Store.of("run").has("out/a.parquet"), "a relative path starts from the working folder"
    store.clear()
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "{actors: 2}": "cluster.store: is missing",
    "{store: s, actors: 0}": "cluster.actors: is 0, but must be at least 1",
    "{store: s, actors: 2, gpus: 99}": "cluster.gpus: is 99, but must be at most 64",
    "{store: 'gs://bucket/ore', actors: 2}": "cluster.store: 'gs://bucket/ore' is neither a folder nor s3://bucket/",
    "{store: 's3://', actors: 2}": "cluster.store: 's3://' is neither a folder nor s3://bucket/prefix; give one of",
    "{store: s, actors: 2, address: 'ray://h:1'}": "cluster.address: 'ray://h:1' is neither auto nor HOST:PORT of",
    "{store: s, actors: 2, port: 1}": "cluster.port: is not a key; the keys here are address, store, actors, gpus,",
}


@pytest.mark.parametrize("section", REFUSED)
def test_a_section_that_cannot_be_used_is_refused_in_a_sentence(section: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"dataset: {{name: a, path: b}}\ncluster: {section}\n")
    with pytest.raises(ValueError) as error:
        read_config(file, [])
    assert str(error.value).startswith(f"{file}, line 2: {REFUSED[section]}") and "\n" not in str(error.value)


def test_merge_needs_the_section_that_names_the_store(head: DeadHead, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cluster: this section is missing, and it names the store"):
        merge(written(head.config.model_copy(update={"cluster": None}), tmp_path))


def test_without_ray_nothing_imports_it_and_a_cluster_says_how_to_get_it(
    tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import sys, pkgutil, importlib
sys.modules["ray"] = None  # every import of it fails
import oresight.flows.cli, oresight.tasks
for module in pkgutil.walk_packages(oresight.tasks.__path__, "oresight.tasks."):
    if module.name != "oresight.tasks.workload.cluster":
        importlib.import_module(module.name)
sys.argv = ["oresight", "score", sys.argv[1]]
oresight.flows.cli.main()
"""
    config = configured(tmp_path, stories, DOLLY[:40], address="auto")
    with recorded(config, "ingest") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
    command = [sys.executable, "-c", script, str(written(config, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "oresight: cluster: needs Ray; to install it: pip install 'oresight[cluster]'."
        " Without this section, this process scores"
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [re.split("[=>]", package)[0] for package in extras["cluster"]] == ["ray", "s3fs"]


def test_plan_says_what_the_store_holds_and_how_long_actors_score(
    tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("oresight.tasks.scoring.engine.SAMPLE", 16)
    monkeypatch.setattr("oresight.tasks.workload.cost.SAMPLE_S", 0.5)
    monkeypatch.setattr("oresight.tasks.workload.cost.FIT_TOKENS", 32)
    config = configured(tmp_path, stories, DOLLY[:ROWS], address="auto")
    plan(written(config, tmp_path))
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["store"][1:] == ["MB", "at", "most,", "in", str(tmp_path / "store")]
    assert lines["actors"][1:5] == ["actor-hours", "on", "2", "actors,"]
    assert not Path(config.cluster.store if config.cluster else "").exists()


def test_forget_names_the_store_in_which_a_killed_run_left_rows(
    head: DeadHead, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(written(head.config, tmp_path))  # a run with this store
    first, second = ask(head.config, "SELECT sample_id FROM rows WHERE dataset = 'dolly' ORDER BY ALL LIMIT 2")
    for (sample_id,), is_named in ((first, True), (second, False)):
        forget(sample_id, reason="a test", database=head.config.database, who="me")
        assert (f"maybe still in {tmp_path / 'store'}, the store of a cluster" in capsys.readouterr().out) == is_named
        head.exchange.store.clear()
