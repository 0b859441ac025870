"""What a demo did, against the truth: python tests/data/outcome.py TRUTH PUBLISHED DATABASE.

TRUTH is a CSV file with the ids of all rows and which of them are bad. The pipeline never reads it. Printed are the
shares of bad rows before and after, the number of false flags, and how many of the most suspicious rows are bad.
"""

import csv
import json
import sys
from pathlib import Path

from oresight.tasks.database import reading

FLAGGED = "SELECT metadata->>'id' FROM flags JOIN rows USING (sample_id, dataset) WHERE check_name = 'looks_mislabeled'"

SUSPECTED = "SELECT metadata->>'id' FROM suspicions JOIN rows USING (sample_id, dataset) ORDER BY suspicion DESC"


def main(truth: str, published: str, database: str) -> None:
    with Path(truth).open() as file:
        bad = {row["id"]: bool(int(row["wrong"])) for row in csv.DictReader(file)}
    text = (Path(published) / "latest" / "train.jsonl").read_text(encoding="utf-8")
    kept = [bad[json.loads(line)["id"]] for line in text.split("\n") if line]
    with reading(database) as connection:
        flagged = [bad[name] for (name,) in connection.execute(FLAGGED).fetchall()]
        worst = [bad[name] for (name,) in connection.execute(SUSPECTED).fetchmany(sum(bad.values()))]
    before, after = sum(bad.values()) / len(bad), sum(kept) / len(kept)
    sys.stdout.write(f"bad rows: {before:.1%} before, {after:.1%} after ({sum(kept)} of {len(kept)} published rows)\n")
    if flagged:
        false = len(flagged) - sum(flagged)
        sys.stdout.write(f"flags: {len(flagged)}, of which {false} ({false / len(flagged):.0%}) are false\n")
    sys.stdout.write(f"suspicion: {sum(worst)} of the {len(worst)} most suspicious rows are bad\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
