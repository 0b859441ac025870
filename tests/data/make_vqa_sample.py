"""Makes the sample of the VQA demo from easy-VQA: python tests/data/make_vqa_sample.py.

400 questions, of which 80 carry another answer of the same type, and 200 more on other pictures that are trusted.
"""

import csv
import json
import shutil
from pathlib import Path

from easy import as_llava, drawn

FOLDER = Path(__file__).parent / "easy_vqa"


def main() -> None:
    raw, trusted = drawn(seed=20261124, rows=400, trusted=200, wrong=0.2)
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    for name, rows in (("rows.json", raw), ("trusted.json", trusted)):
        lines = ",\n".join(json.dumps(row) for row in as_llava(rows))
        (FOLDER / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        for row in rows:
            shutil.copyfile(row.file, FOLDER / "images" / Path(row.file).name)
    with (FOLDER / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "wrong"])
        writer.writerows([row.id, int(row.wrong)] for row in raw)


if __name__ == "__main__":
    main()
