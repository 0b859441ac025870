"""Is the stated error rate kept? python tests/bench/bench_flags.py [SEEDS] [gsm8k] [dolly] [easy] [mrpc].

Rows of shared/data (easy-VQA: its package) and copies of them with planted defects, of kinds that canaries have and of
kinds that they have not, are scored once, in bfloat16 where they are texts; no signal depends on the rows beside it but
the values, and those come from the index. Each seed then draws 200 trusted rows, their canaries and 400 other rows, of
which a share is defective, and has them judged as the step `flag` does. Printed are, as means over the seeds, the
false-discovery proportion with its standard error and the recall at a stated rate of 10%; the share that is flagged of
400 clean rows; and the AUC of the suspicion against that of the best signal where all defects are of one kind.
"""

import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from oresight.tasks.detection.defects import KINDS, Row, planted
from oresight.tasks.detection.detectability import Detectability
from oresight.tasks.detection.detector import Detection, SignalTable, detect, folds
from oresight.tasks.detection.labels import label_signals
from oresight.tasks.detection.signals import DETECTED_BY, LABEL_SIGNALS
from oresight.tasks.detection.twins import unit, without_twin
from oresight.tasks.scoring.engine import Engine, Options, open_engine
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.picture import Picture, inspect_picture
from oresight.tasks.scoring.prompt import Encoded, encode
from oresight.tasks.scoring.signals import Signals
from oresight.tasks.scoring.source import find

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests.data
from tests.data.easy import drawn

SHARED = Path(__file__).parents[3] / "shared" / "data"
TRUSTED, ROWS, CANARIES, RATE = 200, 400, 50, 0.1
SIZES = {
    "gsm8k": (300, 400, 60, 120),
    "dolly": (400, 600, 100, 200),
    "mrpc": (500, 800, 800, 250),
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
        ask = "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
        ask += "Are these two sentences paraphrases of each other? Answer yes or no."
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
    n_candidates, n_clean, n_planted, per_kind = SIZES[name]
    if name == "easy":
        _, clean = drawn(0, rows=0, trusted=n_candidates + n_clean, wrong=0)
        rows = []
        for row in clean:
            seen = inspect_picture(Path(row.file).read_bytes())
            files[seen.sha256] = Picture(row.file, seen.sha256, seen.width, seen.height)
            rows.append(Row(row.id, row.question, row.answer, (seen.sha256,)))
        rows = random.Random(name).sample(rows, len(rows))
    else:
        rows = texts(name)
    candidates, others = rows[:n_candidates], rows[n_candidates:]
    made = [("", row) for row in candidates] + planted(candidates, per_kind)
    more = [("", row) for row in others] + planted(
        others, n_planted, ["another_label"] if name == "mrpc" else list(KINDS)
    )
    for kind in UNSEEN if name != "mrpc" else ():
        draw = random.Random(kind.__name__)
        copies = [kind(row, draw) for row in draw.sample(others, len(others))]
        more += [(kind.__name__, copy) for copy in copies if copy][:n_planted]
    model = load(find("easy-vqa-llava" if name == "easy" else "smollm2-135m-instruct"), "cpu", dtype)

    def ids(row: Row) -> Encoded:
        shown = [replace(files[sha], blank=row.is_blank) for sha in row.images]
        asked = [*({"type": "image"} for _ in shown), {"type": "text", "text": row.prompt}] if shown else row.prompt
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row.answer}]
        return encode(turns, None, model.tokenizer, 1024, model.vision, shown)

    trusted = [ids(row) for _, row in made[:n_candidates]]
    rest = [ids(row) for _, row in made[n_candidates:] + more]
    done = open_engine(model, trusted, rest[-424:], Options(batch_tokens=4096))
    signals_of = {signals.row: signals for batch in scored_all(done.engine, rest) for signals in batch}
    twins = {row.sample_id: i for i, (_, row) in enumerate(made[:n_candidates])}
    twins |= {row.sample_id: i for i, (_, row) in enumerate(more[:n_clean])}
    first = [
        _scored(row, kind, twins, signals)
        for (kind, row), signals in zip(
            made, [*done.reference, *(signals_of[i] for i in range(len(made) - n_candidates))], strict=True
        )
    ]
    offset = len(made) - n_candidates
    second = [_scored(row, kind, twins, signals_of[offset + i]) for i, (kind, row) in enumerate(more)]
    return first, second


def _scored(row: Row, kind: str, twins: dict[str, int], signals: Signals) -> Scored:
    return Scored(
        row=row, defect=kind, twin=twins[row.sample_id], signals=signals, answer_tokens=len(signals.token_values)
    )


def scored_all(engine: Engine, rows: Sequence[Encoded]) -> Iterator[list[Signals]]:
    done = 0
    for batch in engine.score(rows):
        done += len(batch)
        sys.stderr.write(f"\r{done} of {len(rows)} rows scored")
        yield batch
    sys.stderr.write("\n")


NAMES = (*DETECTED_BY, *LABEL_SIGNALS)


def drawn_rows(second: list[Scored], share: float, draw: random.Random, kinds: Sequence[str]) -> list[Scored]:
    """400 rows, a share of them with the kinds of defect in turn, and no two from one row."""
    clean = [row for row in second if not row.defect]
    by_kind = [
        draw.sample(of_kind, len(of_kind))
        for kind in kinds
        if (of_kind := [row for row in second if row.defect == kind])
    ]
    bad: dict[int, Scored] = {}
    while len(bad) < round(ROWS * share):
        for queue in by_kind:
            row = next(row for row in iter(queue.pop, None) if row.twin not in bad)
            bad[row.twin] = row
    bad = dict(list(bad.items())[: round(ROWS * share)])
    good = draw.sample([row for i, row in enumerate(clean) if i not in bad], ROWS - len(bad))
    return good + list(bad.values())


def judged(first: list[Scored], rows: list[Scored], draw: random.Random) -> tuple[SignalTable, Detection]:
    """What the detector makes of the rows, with 200 trusted rows and their canaries."""
    chosen = sorted(draw.sample(range(sum(not row.defect for row in first)), TRUSTED))
    position = {twin: i for i, twin in enumerate(chosen)}
    canaries, often = list[Scored](), Counter[str]()
    for row in first:
        if row.defect and row.twin in position and often[row.defect] < CANARIES:
            often[row.defect] += 1
            canaries.append(row)
    every = [first[i] for i in chosen] + rows + canaries
    n, c = TRUSTED, TRUSTED + len(rows)
    twins = np.array([position[canary.twin] for canary in canaries])
    signals = [row.signals for row in every]
    vector = np.stack([row.vector.numpy() for row in signals]).astype(float)
    state = np.stack([row.state.numpy() for row in signals]).astype(float)
    near = unit(state) @ unit(state[:n]).T
    near[:n][np.diag_indices(n)] = -np.inf
    local = np.take_along_axis(vector @ vector[:n].T, np.argsort(-near, 1)[:, :20], 1).mean(1)
    value = vector @ vector[:n].mean(0)
    value[:n] = (n * value[:n] - np.square(vector[:n]).sum(1)) / (n - 1)
    value[c:], local[c:] = without_twin(
        value_C=value[c:], vector_CM=vector[c:], state_CS=state[c:], twins_C=twins, vector_RM=vector[:n],
        state_RS=state[:n],
    )  # fmt: skip
    tokens = np.array([len(one.token_values) for one in signals])
    squares = np.sqrt(np.maximum([one.self_value for one in signals], 1e-9))
    gain = np.array([one.conditional_gain for one in signals])
    columns = {
        "value": value, "value_per_token": value / tokens, "value_cosine": value / squares, "local_value": local,
        "self_value": squares, "nll": [row.nll for row in signals], "worst_token": [row.worst_token for row in signals],
        "first_token": [row.token_logprobs[0] for row in signals],
        "last_token": [row.token_logprobs[-1] for row in signals],
        "conditional_gain": gain, "total_gain": gain * tokens,
        "image_gain": [math.nan if row.image_gain is None else row.image_gain for row in signals],
    }  # fmt: skip
    answers = np.array([row.row.answer.strip() if len(row.row.answer) <= 100 else "" for row in every], dtype=object)
    of = np.full(len(every), -1)
    of[c:] = twins
    fold = np.concatenate([folds(n), folds(len(rows)), folds(n)[twins]])
    labels = label_signals(state, answers, np.arange(len(every)) < n, fold, of)
    nothing = np.full(len(every), np.nan)
    columns |= {
        name: getattr(labels, short, nothing) for name, short in zip(LABEL_SIGNALS, ("probe", "agreement"), strict=True)
    }
    x = np.column_stack([columns[name] for name in NAMES])
    table = SignalTable(
        names=NAMES, rows_NS=x[n:c], trusted_RS=x[:n], canaries_CS=x[c:], kinds_C=[one.defect for one in canaries],
        twins_C=twins,
    )  # fmt: skip
    done = detect(table, RATE, error="guaranteed")
    assert done is not None
    return table, done


def stated_and_measured(name: str, seeds: int, first: list[Scored], second: list[Scored], share: float) -> str:
    wrong, recall, flagged = [], [], []
    for seed in range(seeds):
        draw = random.Random(f"{name} {seed} {share}")
        rows = drawn_rows(second, share, draw, sorted({row.defect for row in second} - {""}))
        is_bad = np.array([bool(row.defect) for row in rows])
        flags = judged(first, rows, draw)[1].q_N <= RATE
        wrong.append((flags & ~is_bad).sum() / max(flags.sum(), 1))
        recall.append((flags & is_bad).sum() / max(is_bad.sum(), 1))
        flagged.append(flags.mean())
    if not share:
        return f"share of clean rows that is flagged {np.mean(flagged):.4f}"
    error = np.std(wrong, ddof=1) / seeds**0.5
    return f"false-discovery proportion {np.mean(wrong):.3f} (standard error {error:.3f}), recall {np.mean(recall):.2f}"


def against_single(name: str, seeds: int, first: list[Scored], second: list[Scored], kind: str) -> str:
    areas, single = [], []
    share = min(0.2, sum(row.defect == kind for row in second) / ROWS)
    for seed in range(seeds):
        draw = random.Random(f"{name} {seed} {kind}")
        rows = drawn_rows(second, share, draw, [kind])
        is_bad = [bool(row.defect) for row in rows]
        table, done = judged(first, rows, draw)
        areas.append(roc_auc_score(is_bad, done.suspicion_N))
        each = [roc_auc_score(is_bad, np.nan_to_num(table.rows_NS[:, i])) for i in range(len(NAMES))]
        single.append([max(area, 1 - area) for area in each])
    means = np.mean(single, axis=0)
    return f"AUC {np.mean(areas):.3f}, best signal {NAMES[int(means.argmax())]} {means.max():.3f}"


def detectable(name: str, seeds: int, first: list[Scored], second: list[Scored]) -> dict[str, str]:
    kinds = sorted({row.defect for row in second} - {""})
    by_kind = dict[str, list[Detectability]]()
    for seed in range(seeds):
        draw = random.Random(f"{name} {seed}")
        for kind in judged(first, drawn_rows(second, 0.2, draw, kinds), draw)[1].kinds:
            by_kind.setdefault(kind.kind, []).append(kind)
    lines = {}
    for name_of_kind, draws in by_kind.items():
        auc, low, high = np.mean([(kind.auc, kind.low, kind.high) for kind in draws], axis=0)
        seen = sum(kind.is_detectable for kind in draws)
        lines[name_of_kind] = f"AUC {auc:.2f} ({low:.2f} to {high:.2f}), detectable {seen} of {len(draws)} times"
    return lines


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for name in sys.argv[2:] or list(SIZES):
        first, second = pool(name, "float32" if name == "easy" else "bfloat16")
        for share in (0.0, 0.1, 0.2, 0.3):
            line = stated_and_measured(name, seeds, first, second, share)
            sys.stdout.write(f"{name}, {share:.0%} defective: {line}\n")
        for kind in sorted({row.defect for row in second} - {""}):
            sys.stdout.write(f"{name}, {kind} only: {against_single(name, seeds, first, second, kind)}\n")
        for kind, line in detectable(name, seeds, first, second).items():
            sys.stdout.write(f"{name}, canary {kind}: {line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
