"""How many of a demo's rows are bad, before and after: python tests/data/outcome.py TRUTH PUBLISHED.

TRUTH is a CSV file with the ids of all rows and which of them are bad. The pipeline never reads it.
"""

import csv
import json
import sys
from pathlib import Path


def main(truth: str, published: str) -> None:
    with Path(truth).open() as file:
        bad = {row["id"]: bool(int(row["wrong"])) for row in csv.DictReader(file)}
    text = (Path(published) / "latest" / "train.jsonl").read_text(encoding="utf-8")
    kept = [bad[json.loads(line)["id"]] for line in text.split("\n") if line]
    before, after = sum(bad.values()) / len(bad), sum(kept) / len(kept)
    sys.stdout.write(f"bad rows: {before:.1%} before, {after:.1%} after ({sum(kept)} of {len(kept)} published rows)\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
