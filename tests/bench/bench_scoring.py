"""Cost of valuing rows, compared with a plain forward pass, the paper's method, backward passes and a library.

    python tests/bench/bench_scoring.py [--repeats 3] [--every 1]

Each process below is one after the other, on the same rows. `floor` and what others do run in the dtype in which the
floor is fastest, ours in what `model.dtype: auto` chooses. Tokens are real ones, padding not counted. `floor` and ours
take turns in one process, batch for batch the same, and the table has the medians; memory is the peak of a process of
its own. Needs the data beside the project (shared/data) and dattri:
pip install --no-deps dattri==0.3.0.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from bench_baselines import backward, library, paper
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy

from oresight.tasks.scoring.engine import Engine, OpenedEngine, Options, open_engine
from oresight.tasks.scoring.formula import errors, pairwise
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.prompt import Encoded, encode
from oresight.tasks.scoring.reference import fit
from oresight.tasks.scoring.source import find
from oresight.tasks.workload.clock import peak_memory

SHARED = Path(__file__).parents[3] / "shared" / "data"
MODEL = "smollm2-135m-instruct"
SLOW = {"paper": paper, "backward": backward, "dattri": library}
NAMES = {
    "floor": "(a) forward with loss",
    "value": "value, per token, nll",
    "self": "the same and self_value",
    "all": "the same and the index",
    "gain": "the same and conditional gain",
    "shared": "the same, prefixes shared",
    "paper": "(b) the paper's scripts",
    "backward": "(c) backward, whole model",
    "dattri": "(d) dattri, head only",
}


def task(name: str, model: Loaded) -> tuple[list[Encoded], list[Encoded], list[str], list[str]]:
    """Rows, reference rows, and the classes of both (empty where the task has none)."""
    if name == "grammars":
        from datasets import load_from_disk

        splits = [list(load_from_disk(str(SHARED / "datainf_grammars" / part))) for part in ("train", "test")]
        rows = [[whole_text(row["text"], model) for row in split] for split in splits]
        classes = [[row["variation"] for row in split] for split in splits]
        return rows[0], rows[1], classes[0], classes[1]
    lines = [json.loads(line) for line in (SHARED / "dolly" / "rows.jsonl").open(encoding="utf-8")]
    short = [row for row in lines if len(row["instruction"] + row["input"] + row["output"]) < 600]
    chosen = random.Random(0).sample(short, 460)
    turns = [
        [{"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()},
         {"role": "assistant", "content": row["output"]}] for row in chosen
    ]  # fmt: skip
    encoded = [encode(turn, None, model.tokenizer, 512) for turn in turns]
    return encoded[:400], encoded[400:], [], []


def whole_text(text: str, model: Loaded) -> Encoded:
    """Every token but the first is scored, as the benchmark of the paper has it."""
    first = model.tokenizer.bos_token_id
    assert isinstance(first, int)
    ids = [first, *model.tokenizer(text)["input_ids"]]
    return Encoded(ids, 1, len(ids), ids[:1])


def opening(model: Loaded, rows: Sequence[Encoded], reference: Sequence[Encoded]) -> OpenedEngine:
    """As a run opens its engine: the reference, and a random sample of the rows."""
    sample = random.Random(0).sample(list(rows), min(len(rows), 424))
    return open_engine(model, reference, sample, Options(conditional_gain=False))


def floor(model: Loaded, part: Answers) -> float:
    """The loss of a batch, in float32, from the logits of its answer positions."""
    loss = 0.0
    for tile in part.tiles(256):
        z = tile.h_TD.to(model.dtype) @ model.head.weight_VD.T
        loss += float(cross_entropy(z.float(), tile.y_T, reduction="sum"))
    return loss


def methods(engine: Engine) -> dict[str, Callable[[Answers], Any]]:
    """What we do with each batch of answer states."""
    head, reference = engine.model.head, engine.gauge.reference

    def value(part: Answers, lengths: bool = False) -> None:
        for tile in part.tiles(256):
            parts = errors(tile.h_TD, tile.y_T, head, reference.along, lengths=tile.lengths if lengths else None)
            assert parts.along_TR is not None
            (parts.along_TR * reference.states(tile.h_TD)).sum(1).tolist()
            parts.logprob_T.tolist()

    return {
        "value": value,
        "self": lambda part: value(part, True),
        "all": engine.gauge.measure,
    }


def timed(name: str, dtype: str, repeats: int, every: int) -> dict[str, Any]:
    """Seconds of the floor and of ours, in turns; and what the task tells of their quality."""
    bare, model = load(find(MODEL), "cpu", dtype), load(find(MODEL), "cpu")
    rows, reference, classes, query_classes = task(name, model)
    started = time.perf_counter()
    done = opening(model, rows, reference)
    report: dict[str, Any] = {
        "ours": model.dtype_name,
        "opening": time.perf_counter() - started,
        "correlation": done.engine.fitted.index.correlation,
    }
    kept, shares = done.engine.gauge.reference, model.shares
    report["form"] = [kept.rank, kept.tokens, kept.deviation]
    timed_rows = rows[::every]
    seconds: dict[str, list[float]] = {}

    def clock(label: str, run: Callable[[], Any]) -> None:
        started_at = time.perf_counter()
        run()
        seconds.setdefault(label, []).append(time.perf_counter() - started_at)

    for _ in range(repeats):
        bare.shares = model.shares = False  # transformers does not, so the floor does not
        clock("floor", lambda: list(visit(bare, timed_rows, 4096, lambda part: floor(bare, part))))
        for label, measure in methods(done.engine).items():
            clock(label, lambda measure=measure: list(visit(model, timed_rows, 4096, measure)))  # type: ignore[misc]
    gaining = Options(conditional_gain=True)
    engine = replace(done.engine, options=gaining)
    for _ in range(repeats):
        model.shares = False
        clock("gain", lambda: list(engine.score(timed_rows)))
        model.shares = shares
        if name == "dolly":
            clock("shared", lambda: list(visit(model, timed_rows, 4096, done.engine.gauge.measure)))
    report["seconds"] = {label: median(times) for label, times in seconds.items()}
    report["tokens"] = sum(len(row.ids) for row in timed_rows)
    classes_of = Classes(classes, query_classes)
    report |= quality(done.engine, rows if classes else timed_rows, reference, classes_of)
    return report


@dataclass(frozen=True)
class Classes:
    """The classes of rows and of reference rows; empty if the task has none."""

    rows: list[str]
    reference: list[str]


def quality(engine: Engine, rows: list[Encoded], reference: list[Encoded], classes: Classes) -> dict[str, Any]:
    """The cheap form compared with the exact one, and AUC and recall if rows have classes."""
    model = engine.model
    trusted = list(visit(model, reference, 4096, lambda part: part))
    exact, _ = fit(model.head, trusted, probe=trusted[:1], tolerance=0)
    sums_of: dict[str, list[float]] = {"exact": [], "cheap": []}
    pairs, products, order = [], [], []
    for part in visit(model, rows, 4096, lambda part: part):
        for tile in part.tiles(1024):
            order += tile.rows
            for label, form in (("exact", exact), ("cheap", engine.gauge.reference)):
                along = errors(tile.h_TD, tile.y_T, model.head, form.along).along_TR
                assert along is not None
                sums = (along * form.states(tile.h_TD)).sum(1).split(tile.lengths)
                sums_of[label] += [float(x.double().sum()) for x in sums]
            if classes.rows:
                inner = [pairwise((tile.h_TD, tile.y_T, tile.lengths), (r.h_TD, r.y_T, r.lengths), model.head)
                         for r in trusted]  # fmt: skip
                pairs.append(torch.cat(inner, 1))
                products.append(torch.stack([signals.vector for signals in engine.gauge.measure(tile)]))
    values, cheap = np.array(sums_of["exact"]), np.array(sums_of["cheap"])
    report = {
        "off": float(abs(values - cheap).max() / abs(values).max()),
        "spearman": float(spearmanr(values, cheap)[0]),
    }
    if classes.rows:
        columns = [row for part in trusted for row in part.rows]
        same = np.array([[classes.rows[i] == classes.reference[j] for j in columns] for i in order])
        mine = torch.cat(products) @ engine.fitted.neighbours.vector_RM[columns].T
        report["index, all pairs"] = float(np.corrcoef(torch.cat(pairs).flatten(), mine.flatten())[0, 1])
        for label, matrix in (("exact", torch.cat(pairs).numpy()), ("index", mine.numpy())):
            aucs = [roc_auc_score(same[:, j], matrix[:, j]) for j in range(len(columns))]
            recall = [same[np.argsort(-matrix[:, j])[: same[:, j].sum()], j].mean() for j in range(len(columns))]
            report[f"{label} AUC"], report[f"{label} recall"] = float(np.mean(aucs)), float(np.mean(recall))
    return report


def alone(method: str, name: str, dtype: str) -> dict[str, Any]:
    """One method in a process of its own: its peak memory, and its time where it is not timed beside the floor."""
    model = load(find(MODEL), "cpu", dtype if method in ("floor", *SLOW) else "auto")
    rows, reference, *_ = task(name, model)
    if method in SLOW:
        return SLOW[method](model, rows[::10], reference)
    rows = rows[:: len(rows) // 90]
    if method == "floor":
        before = time.perf_counter()
        model.shares = False
        list(visit(model, rows, 4096, lambda part: floor(model, part)))
        return {"seconds": time.perf_counter() - before, "tokens": sum(len(row.ids) for row in rows)}
    engine = opening(model, rows, reference).engine
    model.shares = method == "shared"
    engine = replace(engine, options=Options(conditional_gain=method == "gain"))
    before = time.perf_counter()
    if method in ("gain", "shared"):
        list(engine.score(rows))
    else:
        list(visit(model, rows, 4096, methods(engine)[method]))
    return {"seconds": time.perf_counter() - before, "tokens": sum(len(row.ids) for row in rows)}


def apart(*arguments: str) -> dict[str, Any]:
    """Run this file in a process of its own; its report, with its peak memory in MB."""
    run = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return report


def table(name: str, dtype: str, repeats: int, every: int) -> None:
    report = apart("--timed", name, "--dtype", dtype, "--repeats", str(repeats), "--every", str(every))
    floor = report["tokens"] / report["seconds"]["floor"]
    sys.stdout.write(f"\n{name}, {dtype}; ours in {report['ours']}\n\n")
    sys.stdout.write("| method | seconds | tokens/s | times the floor | peak MB | |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for method, title in NAMES.items():
        if method == "shared" and method not in report["seconds"]:
            continue
        result = apart("--alone", method, "--task", name, "--dtype", dtype)
        seconds = report["seconds"].get(method, result["seconds"])
        speed = (report["tokens"] if method in report["seconds"] else result["tokens"]) / seconds
        cells = [
            title,
            f"{seconds:.1f}",
            f"{speed:.0f}",
            f"{floor / speed:.2f}",
            f"{result['peak']:.0f}",
            result.get("note", ""),
        ]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()
    rest = {key: value for key, value in report.items() if key not in ("seconds", "tokens", "peak")}
    sys.stdout.write("\n" + json.dumps(rest) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--timed", "--alone", "--task", "--dtype"):
        parser.add_argument(option)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="time every so many-th row only")
    chosen = parser.parse_args()
    if chosen.timed or chosen.alone:
        report = (
            timed(chosen.timed, chosen.dtype, chosen.repeats, chosen.every)
            if chosen.timed
            else alone(chosen.alone, chosen.task, chosen.dtype)
        )
        peak = peak_memory() / 2**20
        sys.stdout.write("\n" + json.dumps(report | {"peak": peak}) + "\n")
        return
    seconds = {
        dtype: apart("--alone", "floor", "--task", "grammars", "--dtype", dtype)["seconds"]
        for dtype in ("float32", "bfloat16")
    }
    sys.stdout.write(f"floor on 90 rows of grammars, seconds: {json.dumps(seconds)}\n")
    fastest = min(seconds, key=lambda dtype: seconds[dtype])
    for name in ("grammars", "dolly"):
        table(name, fastest, chosen.repeats, chosen.every)


if __name__ == "__main__":
    main()
