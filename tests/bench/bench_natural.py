"""Rows with natural errors: how early they come in the order by suspicion, and what is flagged.

    python tests/bench/bench_natural.py [SET ...]

LLMBar has a good and a bad answer to each instruction, judged by people, and TruthfulQA a true answer and a popular
false one. No defect is planted in the rows. Each instruction appears once. A hundred trusted rows have good answers,
and a fifth of the other rows have bad ones. Needs the data beside the project (shared/data).
"""

import json
import random
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import roc_auc_score

from oresight.flows.pipeline import Pipeline
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.runs.record import recorded

SHARED = Path(__file__).parents[3] / "shared" / "data"
SUSPICIOUS = {"suspicion": 1, "value": -1, "nll": 1, "worst_token": -1, "conditional_gain": -1, "local_value": -1}
"""Signals, and the sign that makes suspicious rows high."""
TRUSTED, BAD = 100, 0.2


def pairs(name: str) -> list[tuple[str, str, str]]:
    """Instruction, good answer and bad answer of each row."""
    lines = [json.loads(line) for line in (SHARED / name / "rows.jsonl").open(encoding="utf-8")]
    if name == "llmbar":
        return [(row["instruction"], row["good_output"], row["bad_output"]) for row in lines]
    return [(row["question"], row["best_answer"], row["incorrect_answers"][0]) for row in lines]


def measure(name: str, folder: Path) -> None:
    """Print the AUC of each signal, and how many of the flagged and of the most suspicious rows are bad."""
    drawn = pairs(name)
    random.Random(0).shuffle(drawn)
    rows = [
        {"prompt": prompt, "completion": bad if i % round(1 / BAD) == 0 else good, "bad": i % round(1 / BAD) == 0}
        for i, (prompt, good, bad) in enumerate(drawn[TRUSTED:])
    ]
    trusted = [{"prompt": prompt, "completion": good} for prompt, good, _ in drawn[:TRUSTED]]
    for file, lines in (("rows", rows), ("trusted", trusted)):
        (folder / f"{file}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    config = Curate.model_validate({
        "database": f"{folder}/o.duckdb",
        "dataset": {"name": "rows", "path": f"{folder}/rows.jsonl"},
        "reference": {"name": "trusted", "path": f"{folder}/trusted.jsonl"},
    })  # fmt: skip
    with recorded(config, "flag") as run:
        pipeline = Pipeline(run)
        pipeline.read()
        pipeline.plant()
        pipeline.score()
        pipeline.judge()
    with reading(config.database) as connection:
        found = connection.execute(
            f"SELECT (metadata->>'bad')::BOOLEAN, q_value, {', '.join(SUSPICIOUS)} FROM scores"
            " JOIN suspicions USING (sample_id, dataset) JOIN rows USING (sample_id, dataset) WHERE dataset = 'rows'"
            " ORDER BY suspicion DESC"
        ).fetchall()
    bad = [row[0] for row in found]
    flagged = [row[0] for row in found if row[1] is not None and row[1] <= 0.1]
    print(f"{name}: {len(bad)} rows, {sum(bad)} bad; flagged {len(flagged)}, of them bad {sum(flagged)};", end=" ")
    print(f"of the {sum(bad)} most suspicious {sum(bad[: sum(bad)])} are bad")
    for i, (signal, sign) in enumerate(SUSPICIOUS.items(), start=2):
        print(f"  {signal:<18} AUC {roc_auc_score(bad, [sign * row[i] for row in found]):.3f}", flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ("llmbar", "truthfulqa"):
        with tempfile.TemporaryDirectory() as temporary:
            measure(chosen, Path(temporary))
