"""How often is the check wrong_arithmetic right? python tests/bench/bench_arithmetic.py.

Prints each wrong equation in GSM8K's own solutions, for a person to look at; the share of solutions that are flagged
once a number of the answer is changed everywhere, as the canary changed_number does, or in one place; and what is
flagged in texts that are no mathematics.
"""

import json
import random
import re
import sys
import time
from pathlib import Path

from oresight.tasks.detection.arithmetic import wrong_equation
from oresight.tasks.detection.defects import Row, planted

SHARED = Path(__file__).parents[3] / "shared" / "data"


def read(*path: str) -> list[Row]:
    """The rows of a JSONL file in shared/data."""
    lines = filter(None, SHARED.joinpath(*path).read_text(encoding="utf-8").split("\n"))
    return [Row(str(i), row["instruction"], row["output"]) for i, row in enumerate(map(json.loads, lines))]


def with_one_change(answer: str, draw: random.Random) -> str:
    """The answer with one of its numbers changed, in one place."""
    number = draw.choice(list(re.finditer(r"\d+", answer)))
    other = str(abs(int(number.group()) + draw.choice([-1, 1, 2, 3, 10])))
    return answer[: number.start()] + other + answer[number.end() :]


def main() -> None:
    rows, draw = read("gsm8k", "train.jsonl"), random.Random(0)
    started = time.monotonic()
    found = {row.sample_id: equation for row in rows if (equation := wrong_equation(row.answer))}
    seconds = time.monotonic() - started
    sys.stdout.write(f"GSM8K as it is: {len(found)} of {len(rows)} flagged in {seconds:.1f} s\n")
    for place, equation in found.items():
        sys.stdout.write(f"  solution {place}: {equation}\n")
    changed = [copy.answer for _, copy in planted(rows, len(rows), ["changed_number"])]
    in_one_place = [with_one_change(row.answer, draw) for row in rows]
    for name, answers in {"everywhere": changed, "in one place": in_one_place}.items():
        flagged = sum(wrong_equation(answer) is not None for answer in answers)
        sys.stdout.write(f"a number changed {name}: {flagged} of {len(answers)} flagged\n")
    for path in (("dolly", "rows.jsonl"), ("self_instruct", "seed_tasks.jsonl"), ("bbh", "rows.jsonl")):
        others = read(*path)
        flagged = sum(wrong_equation(row.answer) is not None for row in others)
        sys.stdout.write(f"{path[0]}: {flagged} of {len(others)} flagged\n")


if __name__ == "__main__":
    main()
