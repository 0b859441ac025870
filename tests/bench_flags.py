"""Is the stated error rate kept? python tests/bench_flags.py [SEEDS] [gsm8k dolly mrpc easy].

Rows of shared/data (easy-VQA: its package) and copies of them with planted defects, of kinds that canaries have and of
kinds that they have not, are scored once; no signal depends on the rows beside it. Each seed then draws 200 trusted rows
and 400 others, of which a share is defective, and flags them as the pipeline does.
"""

import json
import random
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.defects import KINDS, Row, planted
from tasks.scoring.engine import Engine, Options, opened
from tasks.scoring.model import load
from tasks.scoring.picture import Picture, look
from tasks.scoring.prompt import encode
from tasks.scoring.signals import Signals
from tasks.scoring.source import find
from tests.data.easy import drawn

SHARED = Path(__file__).parents[2] / "shared" / "data"
SIZES = {
    "gsm8k": (300, 400, 60, 120),
    "dolly": (400, 600, 100, 200),
    "mrpc": (800, 1000, 1000, 400),
    "easy": (800, 1200, 400, 400),
}
"""Rows that trusted ones are drawn from, that others are drawn from, defects of each kind, canaries of each kind."""


def refusal(row: Row, draw: random.Random) -> Row | None:
    return replace(row, answer="I'm sorry, but as an AI language model I cannot help with that request.")


def shuffled_words(row: Row, draw: random.Random) -> Row | None:
    words = row.answer.split()
    return replace(row, answer=" ".join(draw.sample(words, len(words)))) if len(words) > 5 else None


def echo(row: Row, draw: random.Random) -> Row | None:
    return replace(row, answer=row.prompt) if not row.images else None


def padded_number(row: Row, draw: random.Random) -> Row | None:
    return replace(row, answer=re.sub(r"\d+(?!.*\d)", "1000000", row.answer)) if re.search(r"\d", row.answer) else None


UNSEEN = (refusal, shuffled_words, echo)
"""Kinds of defect that are not among the canaries."""


@dataclass
class Scored:
    """A row, its kind of defect ('' is none), where its clean twin stands, and its signals."""

    row: Row
    defect: str
    twin: int
    signals: Signals
    answer_tokens: int


def texts(name: str) -> list[Row]:
    if name == "mrpc":
        lines = (SHARED / "mrpc" / "train.jsonl").read_text().rstrip().split("\n")
        ask = "Do these two sentences say the same? Answer yes or no.\n1. {sentence1}\n2. {sentence2}"
        made = [json.loads(line) for line in lines]
        rows = [Row(r["id"], ask.format(**r), "yes" if r["label"] else "no") for r in made]
    else:
        file = SHARED / "gsm8k" / "train.jsonl" if name == "gsm8k" else SHARED / "dolly" / "rows.jsonl"
        made = [json.loads(line) for line in file.read_text().split("\n") if line]
        rows = [Row(r["id"], "\n".join(filter(None, [r["instruction"], r.get("input")])), r["output"]) for r in made]
        rows = [row for row in rows if len(row.prompt) + len(row.answer) <= (700 if name == "gsm8k" else 1200)]
    return random.Random(name).sample(rows, sum(SIZES[name][:2]))


def pool(name: str, dtype: str) -> tuple[list[Scored], list[Scored]]:
    """Candidates with their canaries, and the others with their defects, all scored."""
    files: dict[str, Picture] = {}
    CANDIDATES, CLEAN, PLANTED, PER_KIND = SIZES[name]
    if name == "easy":
        _, clean = drawn(0, rows=0, trusted=CANDIDATES + CLEAN, wrong=0)
        rows = []
        for one in clean:
            seen = look(Path(one.file).read_bytes())
            files[seen.sha256] = Picture(one.file, seen.sha256, seen.width, seen.height)
            rows.append(Row(one.id, one.question, one.answer, (seen.sha256,)))
        rows = random.Random(name).sample(rows, len(rows))
    else:
        rows = texts(name)
    candidates, others = rows[:CANDIDATES], rows[CANDIDATES:]
    made = [("", row) for row in candidates] + planted(candidates, PER_KIND)
    more = [("", row) for row in others] + planted(
        others, PLANTED, ["another_label"] if name == "mrpc" else list(KINDS)
    )
    for kind in UNSEEN if name != "mrpc" else ():
        draw = random.Random(kind.__name__)
        copies = [kind(row, draw) for row in draw.sample(others, len(others))]
        more += [(kind.__name__, copy) for copy in copies if copy][:PLANTED]
    model = load(find("easy-vqa-llava" if name == "easy" else "smollm2-135m-instruct"), "cpu", dtype)

    def ids(row: Row):  # type: ignore[no-untyped-def]
        shown = [replace(files[sha], blank=row.is_blank) for sha in row.images]
        asked = [*({"type": "image"} for _ in shown), {"type": "text", "text": row.prompt}] if shown else row.prompt
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row.answer}]
        return encode(turns, None, model.tokenizer, 1024, model.vision, shown)

    trusted = [ids(row) for _, row in made[:CANDIDATES]]
    rest = [ids(row) for _, row in made[CANDIDATES:] + more]
    done = opened(model, trusted, rest[-424:], Options(batch_tokens=4096))
    found = {one.row: one for batch in scored_all(done.engine, rest) for one in batch}
    twins = {row.sample_id: i for i, (_, row) in enumerate(made[:CANDIDATES])}
    twins |= {row.sample_id: i for i, (_, row) in enumerate(more[:CLEAN])}
    first = [
        Scored(row, kind, twins[row.sample_id], signals, len(signals.token_values))
        for (kind, row), signals in zip(
            made, [*done.reference, *(found[i] for i in range(len(made) - CANDIDATES))], strict=True
        )
    ]
    second = [
        Scored(
            row,
            kind,
            twins[row.sample_id],
            found[len(made) - CANDIDATES + i],
            len(found[len(made) - CANDIDATES + i].token_values),
        )
        for i, (kind, row) in enumerate(more)
    ]
    return first, second


def scored_all(engine: Engine, rows):  # type: ignore[no-untyped-def]
    done = 0
    for batch in engine.score(rows):
        done += len(batch)
        sys.stderr.write(f"\r{done}/{len(rows)}")
        yield batch
