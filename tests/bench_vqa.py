"""Which signals find wrong answers on pictures: python tests/bench_vqa.py [SEEDS].

For each seed 1,000 questions on easy-VQA's test pictures, of which 200 carry another answer of the same type, against
200 clean ones on other pictures, with the embedded model: AUC of each signal alone, mean and standard deviation, and of
a logistic model of them. That is fitted on the trusted rows and on copies of them with a planted wrong answer, never on
the rows that it is judged on.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer

from tasks.config import Curate
from tasks.database import reading
from tasks.ingest import ingest
from tasks.run import recorded
from tasks.score import score
from tests.data.easy import Row, as_llava, drawn, mistaken

SUSPICIOUS = {
    "value": -1, "value_per_token": -1, "value_cosine": -1, "local_value": -1, "self_value": 1, "nll": 1,
    "worst_token": -1, "conditional_gain": -1, "image_gain": -1,
}  # fmt: skip
TOGETHER = ("self_value", "nll", "conditional_gain", "image_gain")
"""Of these the reference is no part, so a copy of a trusted row is measured as a new row would be."""


def measured(database: str, dataset: str) -> dict[str, dict[str, float]]:
    """Signals of a dataset's rows, by the rows' own id."""
    columns = ", ".join(SUSPICIOUS)
    question = f"SELECT metadata->>'id', {columns} FROM scores JOIN rows USING (sample_id, dataset) WHERE dataset = $1"
    with reading(database) as connection:
        found = connection.execute(question, [dataset]).fetchall()
    return {name: dict(zip(SUSPICIOUS, values, strict=True)) for name, *values in found}


def scored(folder: Path, seed: int) -> tuple[list[Row], dict[str, dict[str, dict[str, float]]]]:
    """The rows of a seed, and the signals of the datasets `rows`, `trusted` and `planted`."""
    raw, trusted = drawn(seed, rows=1000, trusted=200, wrong=0.2)
    planted = [mistaken(row, random.Random(f"{seed} {row.id}")) for row in trusted]
    database = f"{folder}/{seed}.duckdb"
    for name, rows in (("rows", raw), ("trusted", trusted), ("planted", planted)):
        text = "\n".join(json.dumps(row | {"image": one.file}) for row, one in zip(as_llava(rows), rows, strict=True))
        (folder / f"{name}{seed}.jsonl").write_text(text)
    root = str(Path(raw[0].file).parent)
    for name in ("rows", "planted"):
        config = Curate.model_validate({
            "database": database, "model": {"name": "easy-vqa-llava"},
            "dataset": {"name": name, "path": f"{folder}/{name}{seed}.jsonl", "root": root},
            "reference": {"name": "trusted", "path": f"{folder}/trusted{seed}.jsonl", "root": root},
        })  # fmt: skip
        with recorded(config, "score") as run_id:
            ingest(database, config.dataset, "dataset", run_id)
            ingest(database, config.reference, "reference", run_id)
            score(config, run_id)
    return raw, {name: measured(database, name) for name in ("rows", "trusted", "planted")}


def together(signals: dict[str, dict[str, dict[str, float]]], ids: list[str]) -> Any:
    """Suspicion of the rows by a logistic model that knows the trusted rows and their planted copies.

    Of all signals together and of each alone it is the one that does best in cross-validation on those.
    """

    def table(name: str, names: list[str]) -> Any:
        return np.array([[signals[name][one][signal] for signal in TOGETHER] for one in names])

    clean = list(signals["trusted"])
    x = np.concatenate([table("trusted", clean), table("planted", clean)])
    y = [0] * len(clean) + [1] * len(clean)
    twins = [*range(len(clean)), *range(len(clean))]  # a row and its copy stay in one fold
    found = {}
    for columns in [list(range(len(TOGETHER))), *([i] for i in range(len(TOGETHER)))]:
        chosen = FunctionTransformer(np.take, kw_args={"indices": columns, "axis": 1})
        ranks = QuantileTransformer(n_quantiles=len(clean), output_distribution="normal")  # signals have long tails
        model = make_pipeline(chosen, ranks, LogisticRegression())
        score = cross_val_score(model, x, y, groups=twins, cv=GroupKFold(5), scoring="roc_auc").mean()
        found[score] = model
    return found[max(found)].fit(x, y).decision_function(table("rows", ids))


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    areas: dict[str, list[float]] = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            raw, signals = scored(Path(folder), seed)
        ids, truth = [row.id for row in raw], [row.wrong for row in raw]
        for name, sign in SUSPICIOUS.items():
            suspicion = [sign * signals["rows"][one][name] for one in ids]
            areas.setdefault(name, []).append(roc_auc_score(truth, suspicion))
        areas.setdefault("together", []).append(roc_auc_score(truth, together(signals, ids)))
    sys.stdout.write(f"| signal | AUC, {seeds} seeds |\n|---|---|\n")
    for name, found in areas.items():
        sys.stdout.write(f"| {name} | {np.mean(found):.4f} ± {np.std(found, ddof=seeds > 1):.4f} |\n")


if __name__ == "__main__":
    main()
