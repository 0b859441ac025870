"""Makes the sample of the demo from the Dolly rows in shared/data: python tests/data/make_sample.py.

400 rows, of which 40 carry an answer swapped in from another of the 40; 60 more that stay as they are and are trusted.
Only rows of at most 240 characters, so that a laptop scores them in a minute or two.
"""

import csv
import json
import random
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "shared" / "data" / "dolly" / "rows.jsonl"


def main() -> None:
    rows = [json.loads(line) for line in SOURCE.read_text(encoding="utf-8").splitlines()]
    short = [
        r for r in rows if len(r["instruction"]) + len(r["input"]) + len(r["output"]) <= 240 and len(r["output"]) >= 40
    ]
    draw = random.Random(20261124)
    chosen = draw.sample(short, 460)
    raw, trusted = chosen[:400], chosen[400:]
    swapped = sorted(draw.sample(range(400), 40))
    turned = swapped[1:] + swapped[:1]  # a cycle: nobody keeps their own answer
    answers = {i: raw[j]["output"] for i, j in zip(swapped, turned, strict=True)}
    raw = [{**row, "output": answers.get(i, row["output"])} for i, row in enumerate(raw)]
    for name, part in (("dolly.jsonl", raw), ("trusted.jsonl", trusted)):
        (HERE / name).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in part), encoding="utf-8")
    with (HERE / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "wrong"])
        writer.writerows([row["id"], int(i in answers)] for i, row in enumerate(raw))


if __name__ == "__main__":
    main()
