"""Which signals find wrong answers about pictures, from files to flags? python tests/bench/bench_vqa.py [SEEDS].

For each seed 1,000 questions on easy-VQA's test pictures, of which 200 carry another answer of the same type, against
200 clean ones on other pictures, with the embedded model: AUC of each signal and of the suspicion, which has learnt
from canaries, mean and deviation, each over the rows that have it (an answer that hardly repeats has no label_probe);
and how many of the rows flagged at a stated rate of 10% are right after all.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.flag import flag
from oresight.tasks.ingest import ingest
from oresight.tasks.plant import plant
from oresight.tasks.runs.record import recorded
from oresight.tasks.score import score

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests.data
from tests.data.easy import Row, as_llava, drawn

SUSPICIOUS = {
    "value": -1, "value_per_token": -1, "value_cosine": -1, "local_value": -1, "self_value": 1, "nll": 1,
    "worst_token": -1, "conditional_gain": -1, "image_gain": -1,
    "scores.label_probe": -1, "agreement": -1, "suspicion": 1,
}  # fmt: skip
QUESTION = """
    SELECT metadata->>'id', q_value, {}
    FROM scores JOIN suspicions USING (sample_id, dataset) JOIN rows USING (sample_id, dataset)
    WHERE dataset = 'rows'
"""


def judged(folder: Path, seed: int) -> tuple[list[Row], dict[str, list[float]]]:
    """The rows of a seed, and for each of them, by its own id, q and the signals."""
    raw, trusted = drawn(seed, rows=1000, trusted=200, wrong=0.2)
    for name, rows in (("rows", raw), ("trusted", trusted)):
        text = "\n".join(json.dumps(line | {"image": row.file}) for line, row in zip(as_llava(rows), rows, strict=True))
        (folder / f"{name}.jsonl").write_text(text)
    datasets = {
        name: {"name": name, "path": f"{folder}/{name}.jsonl", "root": str(Path(raw[0].file).parent)}
        for name in ("rows", "trusted")
    }
    config = Curate.model_validate({
        "database": f"{folder}/o.duckdb", "model": {"name": "easy-vqa-llava"},
        "dataset": datasets["rows"], "reference": datasets["trusted"],
    })  # fmt: skip
    with recorded(config, "flag") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        plant(run)
        score(run)
        flag(run)
    with reading(config.database) as connection:
        stored = connection.execute(QUESTION.format(", ".join(SUSPICIOUS))).fetchall()
    return raw, {name: list(values) for name, *values in stored}


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    areas: dict[str, list[float]] = {name: [] for name in SUSPICIOUS}
    false, recall = [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            raw, signals = judged(Path(folder), seed)
        table = np.array([signals[row.id] for row in raw], dtype=float)  # null becomes nan
        truth = np.array([row.wrong for row in raw])
        for i, (name, sign) in enumerate(SUSPICIOUS.items(), start=1):
            has = ~np.isnan(table[:, i])
            areas[name].append(roc_auc_score(truth[has], sign * table[has, i]))
        flagged = table[:, 0] <= 0.1
        false.append((flagged & ~truth).sum() / max(flagged.sum(), 1))
        recall.append(flagged[truth].mean())
    sys.stdout.write(f"| signal | AUC, {seeds} seeds |\n|---|---|\n")
    for name, values in areas.items():
        sys.stdout.write(f"| {name} | {np.mean(values):.4f} ± {np.std(values, ddof=seeds > 1):.4f} |\n")
    sys.stdout.write(f"false among the flagged {np.mean(false):.3f}, recall {np.mean(recall):.3f}\n")


if __name__ == "__main__":
    main()
