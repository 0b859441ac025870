"""Writes what `make evaluate` reads to evaluate/: short rows of Dolly and GSM8K, and easy-VQA's test pictures.

dolly, gsm8k, easy   rows as they are, and trusted ones
swapped              rows of grammars, of which 30% carry another row's answer (column "swapped"), trusted ones, and
                     the benchmark's own test rows
stories              the same of Dolly
"""

import json
import random
from pathlib import Path
from typing import Any

import datasets
from easy import as_llava, drawn

SHARED = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path("evaluate")
SHORT = 320
"""Letters of a row at most, which keeps the time of finetunes in bounds."""


def short(folder: str, file: str) -> list[dict[str, Any]]:
    """The rows of at most so many letters."""
    text = (SHARED / folder / file).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    return [row for row in rows if len(row["instruction"] + row.get("input", "") + row["output"]) <= SHORT]


def grammars(part: str) -> list[dict[str, Any]]:
    """The rows of the influence benchmark, without the whole text."""
    rows = datasets.load_from_disk(str(SHARED / "datainf_grammars" / part))
    return [{"instruction": row["prompt"], "output": row["answer"], "class": row["variation"]} for row in rows]


def swapped(rows: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """The rows, some of which have handed their answers on in a circle."""
    draw = random.Random("swapped")
    bad = draw.sample(range(len(rows)), round(share * len(rows)))
    giver = dict(zip(bad, bad[1:] + bad[:1], strict=True))
    return [row | {"output": rows[giver.get(i, i)]["output"], "swapped": i in giver} for i, row in enumerate(rows)]


def write(name: str, rows: list[dict[str, Any]]) -> None:
    (FOLDER / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    dolly = random.Random("dolly").sample(short("dolly", "rows.jsonl"), 420)
    write("dolly", dolly[:300])
    write("dolly-trusted", dolly[300:380])
    write("stories", swapped(dolly[:300], 0.3))
    write("stories-test", dolly[380:])
    drawn_rows = random.Random("grammars").sample(grammars("train"), 500)
    write("swapped", swapped(drawn_rows[:300], 0.3))
    write("swapped-trusted", drawn_rows[300:])
    write("swapped-test", random.Random("test").sample(grammars("test"), 50))
    gsm8k = random.Random("gsm8k").sample(short("gsm8k", "train.jsonl"), 300)
    write("gsm8k", gsm8k[:220])
    write("gsm8k-trusted", gsm8k[220:])
    rows, trusted = drawn(0, rows=600, trusted=200, wrong=0)
    for name, some in (("easy", rows), ("easy-trusted", trusted)):
        write(name, [line | {"image": one.file} for line, one in zip(as_llava(some), some, strict=True)])


if __name__ == "__main__":
    main()
