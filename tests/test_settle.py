"""Finetunes spend equal budgets, end in a verdict, continue where they stopped, and can decide the publish gate."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oresight.flows.settle import Experiments, run_experiments
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.evaluation.choices import METHODS
from oresight.tasks.evaluation.finetunes import Contest
from oresight.tasks.evaluation.ledger import Ledger, Result
from oresight.tasks.evaluation.tables import finetune_verdict
from oresight.tasks.evaluation.training import is_same_answer
from oresight.tasks.flag import flag
from oresight.tasks.ingest import ingest
from oresight.tasks.publish import publish
from oresight.tasks.runs.record import Refused, Run, recorded
from oresight.tasks.score import score
from oresight.tasks.split import split
from tests.test_publish import release, some
from tests.test_split import settings

FEW = {"tokens": 200, "seeds": 2, "rate": 3e-3}
ONE = FEW | {"against": ["lowest nll"]}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Curate:
    """A decided split of Dolly rows, scored by a very small model, and test rows."""
    folder = tmp_path_factory.mktemp("settle")
    lines = (shared / "dolly" / "rows.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [
        row
        for row in map(json.loads, filter(None, lines))
        if len(row["output"]) < 90 > len(row["instruction"] + row["input"])
    ]
    rows = random.Random(0).sample(rows, 180)
    rows = [row | {"wrong": i % 4 == 0} for i, row in enumerate(rows)]
    for name, part in (("rows", rows[:120]), ("trusted", rows[120:150]), ("test", [*rows[150:], rows[0], rows[120]])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "rows", "path": str(folder / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(folder / "trusted.jsonl")},
            "model": {"name": str(shared / "stories260k"), "device": "cpu"},
            "scoring": {"max_tokens": 256},
            "splitting": {"name": "curated", "keep": 0.7},
            "publishing": {"folder": str(folder / "out")},
        }
    )
    with recorded(config, "curate") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        score(run)
        flag(run)
        split(run)
    return config


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()


def heldout_file(config: Curate) -> str:
    """The file of test rows beside the dataset."""
    return str(Path(config.dataset.path).with_name("test.jsonl"))


def settled(config: Curate, experiments: Experiments | None = None, **finetuning: Any) -> list[str]:
    """Run the experiments. Returns the printed lines."""
    changed = config.finetuning.model_copy(update=finetuning)
    experiments = experiments or Experiments(heldout_file(config))
    return run_experiments(config.model_copy(update={"finetuning": changed}), experiments)


def test_all_methods_spend_one_budget_and_a_verdict_ends_it(decided: Curate, caplog: pytest.LogCaptureFixture) -> None:
    against = ["match", "match on states", "TF-IDF", "highest value", "highest gradient", "all rows"]
    lines = settled(decided, **FEW, against=against)
    assert lines[-3].startswith("Verdict: ") and lines[-3] in Path(lines[-1].removeprefix("report: ")).read_text()
    assert (
        lines[-5] == "Conditions: lora 1, rate 0.003, epochs 1, rows_a_step 4, tokens 200, test_rows 30, rows_drawn 60"
    )
    assert "&#34;rate&#34;: 0.003" in Path(lines[-1][8:]).read_text()
    assert "2 test rows are left out: dataset or reference have them" in caplog.text
    numbers = ask(decided, "SELECT method, metric, seed, value FROM evaluations WHERE setting = 'curated/v1'")
    spent = {(method, seed): value for method, metric, seed, value in numbers if metric == "answer tokens"}
    methods = {"kept", "random", *against}
    assert {method for method, _ in spent} == methods and len(spent) == 2 * len(methods)
    whole = [spent.pop(("all rows", seed)) for seed in range(2)]
    assert min(whole) > 600 and max(spent.values()) <= 200 and min(spent.values()) > 180
    losses = {(method, seed): value for method, metric, seed, value in numbers if metric == "test loss"}
    plain = losses.pop(("no finetune", None))
    assert all(loss < plain for loss in losses.values())
    compared = ask(decided, "SELECT against, pairs, test, difference FROM comparisons WHERE method = 'kept'")
    rivals = methods - {"kept", "match", "all rows"}
    assert {against: (pairs, test) for against, pairs, test, _ in compared} == dict.fromkeys(rivals, (2, "t"))
    difference_from = {against: difference for against, _, _, difference in compared}
    expected = np.mean([losses["kept", seed] - losses["random", seed] for seed in range(2)])
    assert difference_from["random"] == pytest.approx(expected)


def test_stored_finetunes_are_not_repeated(decided: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ONE
    first = settled(decided, **few)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("oresight.tasks.evaluation.finetunes.outcome_after", refuse)
    assert settled(decided, **few) == first
    with pytest.raises(AssertionError, match="trained again"):
        settled(decided, **(few | {"seeds": 3}))


def test_the_methods_can_be_chosen(decided: Curate) -> None:
    lines = settled(decided, **FEW, against=["lowest nll"])
    assert {line.split("|")[2].strip() for line in lines if line.startswith("| curated/v1 ")} == {
        "kept", "random", "lowest nll", "no finetune"
    }  # fmt: skip
    with pytest.raises(ValueError, match="--against: 'nll' is not one of match, match on index, "):
        settled(decided, **FEW, against=["nll"])
    with pytest.raises(ValueError, match="--against: 'clean rows' needs --truth COLUMN"):
        settled(decided, **FEW, against=["clean rows"])


def test_a_library_that_is_missing_leaves_its_method_out(
    decided: Curate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("oresight.tasks.evaluation.choices.find_spec", lambda _: None)
    settled(decided, **FEW | {"against": ["lowest nll", "BM25"]})
    assert "settle: BM25 left out; to include it: pip install 'oresight[baselines]'" in caplog.text


def test_without_a_choice_all_methods_that_can_be_used_are_compared(decided: Curate) -> None:
    for truth, methods in ((None, set(METHODS) - {"clean rows"}), ("wrong", set(METHODS))):
        contest = Contest(Run(decided), "finetune", 1, [], truth)
        assert set(contest.choices.methods) == methods
        for method in contest.choices.methods:
            if "gradient" not in method:
                chosen = contest.choices.chosen(method, 0, 300)
                assert len(set(chosen)) == len(chosen) and set(chosen) <= set(contest.choices.pool(0))
                assert method == "all rows" or 250 < contest.tokens(chosen) <= 300


def test_finetuned_models_answer_the_test_rows(decided: Curate) -> None:
    settled(decided, **FEW | {"tokens": 200, "against": ["lowest nll"], "metric": "exact"})
    numbers = ask(decided, "SELECT method, value FROM evaluations WHERE metric = 'exact answers'")
    assert {method for method, _ in numbers} == {"kept", "random", "lowest nll", "no finetune"}
    assert all(0 <= value <= 1 for _, value in numbers)


def test_shares_of_the_tokens_and_a_truth(decided: Curate, caplog: pytest.LogCaptureFixture) -> None:
    """Two budgets; the column `category` cannot be a truth, `wrong` is one."""
    few = {"shares": [0.1, 0.2], "seeds": 2, "against": ["match", "clean rows"], "rate": None}
    lines = settled(decided, Experiments(heldout_file(decided), truth="wrong"), **few)
    assert sum(line.startswith("Verdict: ") for line in lines) == 2
    assert "settle: learning rate" in caplog.text
    shares = {
        setting: share
        for share, setting in ((0.1, "curated/v1, 10% of the tokens"), (0.2, "curated/v1, 20% of the tokens"))
    }
    numbers = ask(decided, "SELECT setting, method, metric, value FROM evaluations WHERE setting LIKE '%of the tokens'")
    assert {setting for setting, *_ in numbers} == set(shares)
    assert all(value == 0 for _, method, metric, value in numbers if (method, metric) == ("clean rows", "wrong rows"))
    assert any(value > 0 for _, method, metric, value in numbers if (method, metric) == ("random", "wrong rows"))
    tokens = {(setting, method): value for setting, method, metric, value in numbers if metric == "answer tokens"}
    for method in ("random", "match"):
        less, more = (tokens[setting, method] for setting in shares)
        assert 1.8 < more / less < 2.2
    swept = ask(decided, "SELECT setting FROM evaluations WHERE evaluation = 'sweep'")
    assert {setting for (setting,) in swept} == {"0.0003", "0.001", "0.003"}
    with pytest.raises(ValueError, match="--truth: no row of 'rows' has a column 'bad'"):
        settled(decided, Experiments(heldout_file(decided), truth="bad"), **few)


@pytest.mark.parametrize(
    ("answer", "right", "same"),
    [
        ("It is 1,200 dollars. #### 1200", "So 30 * 40. #### 1,200", True),
        ("12 and then 13", "#### 12", False),
        ("no number", "#### 12", False),
        (" Paris.\n", "paris", True),
        ("Paris or Rome", "Paris", False),
        ("-3.50", "#### -3.5", True),
    ],
)
def test_answers_are_compared_after_normalising(answer: str, right: str, same: bool) -> None:
    assert is_same_answer(answer, right) is same


def test_curves_and_datamodels_are_printed_and_stored(decided: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oresight.tasks.evaluation.finetunes.SUBSETS", 3)
    monkeypatch.setattr("oresight.tasks.evaluation.finetunes.SHARES", (0.1, 0.4))
    monkeypatch.setattr("oresight.tasks.evaluation.finetunes.FORWARD", ["value", "embedding cosine"])
    monkeypatch.setattr("oresight.tasks.evaluation.finetunes.find_spec", lambda _: None)
    few = FEW | {"seeds": 1}
    lines = settled(
        decided, Experiments(heldout_file(decided), finetune=False, curves=True, datamodels=True), **few, lora=False
    )
    assert lines[1].startswith("| rows left out | method | test loss |")
    removed = ask(decided, "SELECT DISTINCT setting, method FROM evaluations WHERE evaluation = 'removal'")
    names = ("highest value", "lowest value", "random")
    assert set(removed) == {(f"without {n}%", name) for n in (10, 40) for name in names} | {("without 0%", "nothing")}
    scores = ask(decided, "SELECT method, value FROM evaluations WHERE evaluation = 'datamodel' AND metric = 'score'")
    assert {name for name, _ in scores} == {"value", "value_cosine", "embedding cosine"}
    assert all(-1 <= score <= 1 for _, score in scores)


def test_a_test_set_without_new_rows_is_refused(decided: Curate) -> None:
    with pytest.raises(
        ValueError, match="has no row that the model can read and that is neither in dataset nor reference"
    ):
        settled(decided, Experiments(decided.dataset.path), **FEW)


@pytest.mark.parametrize(
    ("kept", "word"),
    [
        ([2.0, 2.01, 2.02, 1.99], "better than"),
        ([2.2, 2.21, 2.22, 2.19], "WORSE than"),
        ([2.0, 2.2, 2.3, 1.9], "no difference"),
    ],
)
def test_the_gate_follows_the_verdict(kept: list[float], word: str, tmp_path: Path) -> None:
    config = settings(tmp_path)
    release(config, some())
    config.publishing.folder, config.publishing.require.better_than_random = str(tmp_path / "other"), True
    with recorded(config, "publish") as run:
        with pytest.raises(Refused, match="better_than_random was not tried; `oresight settle"):
            publish(Run(config), 1)
        ledger = Ledger(
            database=config.database,
            run_id=run.run_id,
            evaluation="finetune",
            dataset=config.dataset.name,
            model="model@1",
        )
        names = {"kept": kept, "random": [2.1, 2.11, 2.12, 2.09]}

        def compute() -> Iterator[Result]:
            for name, losses in names.items():
                for seed, loss in enumerate(losses):
                    yield Result(f"{config.splitting.name}/v1", name, seed, "test loss", loss)

        unit = ledger.compute_once(ledger.unit(x=1), compute, "losses")
        compared = ledger.compare([unit], "test loss", ["random"], test="t", methods=["kept"])
        assert word in finetune_verdict(compared[0].comparison)
        if word == "better than":
            assert publish(Run(config), 1).folder.is_dir()
        else:
            with pytest.raises(Refused, match="better_than_random is not shown: the test loss differs by"):
                publish(Run(config), 1)


def test_the_gate_can_be_configured_by_its_name() -> None:
    dataset = {"name": "a", "path": "a.jsonl"}
    tree = {"dataset": dataset, "reference": dataset | {"name": "b"}, "publishing": {"require": "better_than_random"}}
    assert Curate.model_validate(tree).publishing.require.better_than_random
