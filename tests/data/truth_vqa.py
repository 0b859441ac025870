"""How many of the VQA sample's wrong answers are flagged: python tests/data/truth_vqa.py, after `make demo-vqa`."""

import csv
import sys
from pathlib import Path

from oresight.tasks.database import reading

QUESTION = """
    SELECT DISTINCT metadata->>'id' FROM flags JOIN rows USING (sample_id, dataset)
    WHERE dataset = 'easy' AND severity IN ('warning', 'critical')
"""


def main() -> None:
    with (Path(__file__).parent / "easy_vqa" / "truth.csv").open() as file:
        wrong = {row["id"] for row in csv.DictReader(file) if row["wrong"] == "1"}
    with reading("demo-vqa/oresight.duckdb") as connection:
        flagged = {name for (name,) in connection.execute(QUESTION).fetchall()}
    sys.stdout.write(f"{len(flagged)} rows flagged, {len(flagged & wrong)} of the {len(wrong)} wrong ones\n")


if __name__ == "__main__":
    main()
