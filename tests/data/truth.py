"""How many of the sample's swapped answers each signal finds: python tests/data/truth.py demo/oresight.duckdb."""

import csv
import sys
from pathlib import Path

from sklearn.metrics import roc_auc_score

from oresight.tasks.database import reading

SUSPICIOUS = {
    "value": -1,
    "value_per_token": -1,
    "value_cosine": -1,
    "self_value": 1,
    "nll": 1,
    "conditional_gain": -1,
    "suspicion": 1,
}
QUESTION = """
    SELECT metadata->>'id', {}
    FROM scores JOIN rows USING (sample_id, dataset) JOIN suspicions USING (sample_id, dataset)
    WHERE dataset = 'dolly'
"""


def main(database: str) -> None:
    with (Path(__file__).parent / "truth.csv").open() as file:
        swapped = {row["id"]: int(row["wrong"]) for row in csv.DictReader(file)}
    with reading(database) as connection:
        rows = connection.execute(QUESTION.format(", ".join(SUSPICIOUS))).fetchall()
    truth = [swapped[row[0]] for row in rows]
    sys.stdout.write("| signal | AUC | of the 40, in the worst 40 |\n|---|---|---|\n")
    for i, (name, sign) in enumerate(SUSPICIOUS.items(), start=1):
        suspicion = [sign * row[i] for row in rows]
        worst = sorted(range(len(rows)), key=lambda k: suspicion[k], reverse=True)[: sum(truth)]
        sys.stdout.write(f"| {name} | {roc_auc_score(truth, suspicion):.3f} | {sum(truth[k] for k in worst)} |\n")


if __name__ == "__main__":
    main(sys.argv[1])
