"""Influence on rows and queries with classes, judged by scikit-learn from the scores of each method."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk
from sklearn.metrics import roc_auc_score

from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.evaluation.influence import measure_influence, plain_text, score_in_process
from oresight.tasks.evaluation.pairs import PairScores, score_pairs
from oresight.tasks.evaluation.trainable import ModelSpec, trainable
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import recorded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.source import find
from tests.support.curated import Curated


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Curate:
    """60 rows and 12 queries of four classes, ingested."""
    folder = tmp_path_factory.mktemp("influence")
    for name, part, n in (("rows", "train", 15), ("queries", "test", 3)):
        rows = list(load_from_disk(str(shared / "datainf_grammars" / part)))
        classes = sorted({row["variation"] for row in rows})[:4]
        some = [row for kind in classes for row in [row for row in rows if row["variation"] == kind][:n]]
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in some))
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "rows", "path": str(folder / "rows.jsonl")},
            "reference": {"name": "queries", "path": str(folder / "queries.jsonl")},
            "model": {"name": str(shared / "stories260k"), "device": "cpu"},
            "evaluating": {"seeds": 2},
        }
    )
    with recorded(config, "ingest") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
    return config


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()


def measured(config: Curate, classes: str = "variation", text: str | None = "text") -> list[str]:
    with recorded(config, "evaluate") as run:
        return measure_influence(run, classes, text)


def value_in_process(method: str, spec: ModelSpec, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> PairScores:
    """Score values in a process of their own, as the evaluation does, and other methods here, to save time."""
    return (score_in_process if method == "value" else score_pairs)(method, spec, rows, queries)


def test_auc_and_recall_of_each_query_are_those_of_the_scores(config: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oresight.tasks.evaluation.influence.SAMPLE", (24, 8))
    monkeypatch.setattr("oresight.tasks.evaluation.influence.score_in_process", value_in_process)
    lines = measured(config)
    source = find(config.model.name)
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    rows, queries = (
        ask(
            config,
            f"SELECT metadata->>'text', metadata->>'variation' FROM rows WHERE dataset = '{name}' ORDER BY sample_id",
        )
        for name in ("rows", "queries")
    )
    encoded = [[plain_text(text, tokenizer, 2048) for text, _ in part] for part in (rows, queries)]
    score = score_pairs("value", ModelSpec(source, "cpu"), *encoded).scores["value"]
    same = np.array([[a == b for _, b in queries] for _, a in rows])
    expected = [roc_auc_score(same[:, q], score[:, q]) for q in range(12)]
    where = "method = 'value' AND setting = '60 rows, 12 queries'"
    each = ask(config, f"SELECT value FROM evaluations WHERE {where} AND metric = 'auc of a query' ORDER BY seed")
    assert [auc for (auc,) in each] == pytest.approx(expected, abs=1e-6)
    ((auc,),) = ask(config, f"SELECT value FROM evaluations WHERE {where} AND metric = 'auc'")
    assert auc == pytest.approx(np.mean(expected), abs=1e-6) and auc > 0.8
    methods = ask(config, "SELECT DISTINCT method FROM evaluations WHERE metric = 'auc' AND setting LIKE '24 rows%'")
    ours = {"value", "value_cosine", "index", "embedding cosine"}
    assert {method for (method,) in methods} == ours | {"gradient", "ekfac"}
    timed = ask(config, "SELECT count(*) FROM evaluations WHERE metric IN ('seconds', 'peak MB') AND value > 0")
    assert timed == [(2 * (1 + 5),)]
    monkeypatch.setattr(
        "oresight.tasks.evaluation.influence.score_in_process", lambda *_: pytest.fail("measured again")
    )
    assert measured(config) == lines


def test_rows_without_classes_are_refused_in_one_line(config: Curate, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'rows' has fewer than two values in a column 'nothing'"):
        measured(config, "nothing")
    with pytest.raises(ValueError, match="not every row of 'rows' has a column 'nothing'"):
        measured(config, "variation", "nothing")
    demo = Curated(tmp_path)
    process = demo.run("evaluate", *demo.arguments, "--truth", "a", "--classes", "b")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "oresight: --truth, --classes: give one of them, not both; --text needs --classes\n"
