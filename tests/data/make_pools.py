"""Writes mixed pools to evaluate/: python tests/data/make_pools.py [quick].

A pool has short rows of five sources. In each source a fifth of the rows have handed their answers on in a circle
(column "wrong"). A target is a kind of rows that someone wants to train for: trusted rows and test rows of one source,
of two, or of all five, in unequal numbers. No row is in two files.

clean is another pool: right rows of Dolly only, for the target dolly. Random rows are ideal there. easy is the same as
the mixed pool with pictures: easy-VQA's question types are the sources.
"""

import json
import random
import sys
from typing import Any

from easy import TYPES, as_llava, drawn
from make_evaluation import FOLDER, SHARED, grammars, write

POOL = {"dolly": 250, "gsm8k": 110, "bbh": 160, "grammars": 160, "self_instruct": 120}
"""Rows of each source in the pool."""
WRONG = 0.2
TARGETS = {
    "dolly": {"dolly": 40},
    "gsm8k": {"gsm8k": 40},
    "grammars": {"grammars": 40},
    "two": {"gsm8k": 30, "bbh": 12},
    "all": {"dolly": 25, "gsm8k": 6, "bbh": 12, "grammars": 8, "self_instruct": 10},
}
"""Trusted rows of each source, by target."""
TEST = 60
"""Test rows of a target, and most trusted rows of a source."""
CLEAN = 500
"""Rows of the pool that is clean."""
SHORT = 400
"""Letters of a row at most."""


def letters(row: dict[str, Any]) -> str:
    """All text of a row."""
    return str(row["instruction"] + row.get("input", "") + row["output"])


def read(*path: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file in shared/data."""
    return [json.loads(line) for line in SHARED.joinpath(*path).read_text(encoding="utf-8").split("\n") if line]


def sources() -> dict[str, list[dict[str, Any]]]:
    """The short rows of each source, without repeated prompts, in a random order."""
    everything = {
        "dolly": read("dolly", "rows.jsonl"),
        "gsm8k": read("gsm8k", "train.jsonl"),
        "bbh": read("bbh", "rows.jsonl"),
        "grammars": [*grammars("train"), *grammars("test")],
        "self_instruct": [*read("self_instruct", "seed_tasks.jsonl"), *read("self_instruct", "user_oriented.jsonl")],
    }
    plain = {}
    for name, rows in everything.items():
        by_prompt = {
            (row["instruction"], row.get("input", "")): {
                "instruction": row["instruction"], "input": row.get("input", ""), "output": row["output"],
                "source": name,
            }
            for row in rows if row["output"] and len(letters(row)) <= SHORT
        }  # fmt: skip
        plain[name] = random.Random(name).sample(sorted(by_prompt.values(), key=letters), len(by_prompt))
    return plain


def with_wrong(rows: list[dict[str, Any]], seed: str) -> list[dict[str, Any]]:
    """The rows, a share of which carry another one's answer."""
    wrong = random.Random(f"b{seed}").sample(range(len(rows)), round(WRONG * len(rows)))
    giver = dict(zip(wrong, wrong[1:] + wrong[:1], strict=True))
    return [row | {"output": rows[giver.get(i, i)]["output"], "wrong": i in giver} for i, row in enumerate(rows)]


def write_pools(size: float) -> None:
    """The pool, and trusted and test rows of each target. size: of the pool, as a share of POOL."""
    rows = sources()
    numbers = {name: round(size * n) for name, n in POOL.items()}
    write("pool", [row for name, n in numbers.items() for row in with_wrong(rows[name][:n], name)])
    for target, parts in TARGETS.items():
        others, times = {name: rows[name][POOL[name] :] for name in parts}, TEST / sum(parts.values())
        trusted = {name: others[name][:n] for name, n in parts.items()}
        test = {name: others[name][TEST : TEST + round(times * n)] for name, n in parts.items()}
        write(f"pool-{target}-trusted", [row for part in trusted.values() for row in part])
        write(f"pool-{target}-test", [row for part in test.values() for row in part])
    clean = rows["dolly"][POOL["dolly"] + 2 * TEST :][: round(size * CLEAN)]
    write("pool-clean", [row | {"wrong": False} for row in clean])


def write_pictures(rows: int) -> None:
    """The same with pictures. The target is the questions about a shape, as in "what shape is in the image?"."""
    raw, clean = drawn(seed=1, rows=rows, trusted=1500, wrong=WRONG)
    shapes = [row for row in clean if row.answer in TYPES[1]]
    parts = {"pool-easy": raw, "pool-easy-trusted": shapes[:60], "pool-easy-test": shapes[60:180]}
    for name, part in parts.items():
        lines = as_llava(part)
        for line, row in zip(lines, part, strict=True):
            kind = next(i for i, answers in enumerate(TYPES) if row.answer in answers)
            line |= {"image": row.file, "wrong": row.wrong, "source": ("yes or no", "shape", "colour")[kind]}
        write(name, lines)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    is_quick = sys.argv[1:] == ["quick"]
    write_pools(0.5 if is_quick else 1)
    write_pictures(300 if is_quick else 600)


if __name__ == "__main__":
    main()
