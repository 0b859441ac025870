"""Rows and queries with classes: what is told is scikit-learn's judgement of what each method scored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk
from sklearn.metrics import roc_auc_score

from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.evaluation.influence import _alone, measure_influence
from oresight.tasks.evaluation.pairs import Paired, paired
from oresight.tasks.evaluation.trainable import trainable
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scoring.prompt import Encoded, plain_text
from oresight.tasks.scoring.source import find
from tests.support.curated import Curated


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Curate:
    """60 rows and 12 queries of four classes, read."""
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


def told(config: Curate, classes: str = "variation", text: str | None = "text") -> list[str]:
    with recorded(config, "evaluate") as run:
        return measure_influence(run, classes, text)


def apart(method: str, run: Run, rows: list[Encoded], queries: list[Encoded]) -> Paired:
    """Values in a process of their own, as all methods are, and the others here, for time."""
    if method == "value":
        return _alone(method, run, rows, queries)
    return paired(method, run.model.files, run.config.model.device, run.config.model.dtype, rows, queries)


def test_auc_and_recall_of_each_query_are_those_of_the_scores(config: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oresight.tasks.evaluation.influence.SAMPLE", (24, 8))
    monkeypatch.setattr("oresight.tasks.evaluation.influence._alone", apart)
    lines = told(config)
    source = find(config.model.name)
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    rows, queries = (
        ask(
            config,
            f"SELECT metadata->>'text', metadata->>'variation' FROM rows WHERE dataset = '{name}' ORDER BY sample_id",
        )
        for name in ("rows", "queries")
    )
    encoded = [[plain_text(text, tokenizer, 2048) for text, _ in some] for some in (rows, queries)]
    score = paired("value", source, "cpu", "auto", *encoded).scores["value"]
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
    monkeypatch.setattr("oresight.tasks.evaluation.influence._alone", lambda *_: pytest.fail("measured again"))
    assert told(config) == lines


def test_what_has_no_classes_is_refused_in_a_sentence(config: Curate, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'rows' has no two values in a column 'nothing'"):
        told(config, "nothing")
    with pytest.raises(ValueError, match="not every row of 'rows' has a column 'nothing'"):
        told(config, "variation", "nothing")
    demo = Curated(tmp_path)
    done = demo.run("evaluate", *demo.arguments, "--truth", "a", "--classes", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "oresight: --truth, --classes: give one of them; --text goes with --classes\n"
