"""Does a warm-up on trusted rows help the detector? python tests/bench/bench_warm_up.py SET [DRAWS].

A set is one of SETS in bench_flags.py. Each draw has 60 trusted rows and 400 other rows, of which a fifth is defective.
A model learns one half of the trusted rows by LoRA, in two passes, and gives the loss of the other half, of the
canaries of the other half and of half of the other rows; then the halves change places. Two signals come from that: the
loss after the warm-up, and how much it fell.

Printed for each detector are its AUC on all defects and the share of the defects that are more suspicious than 99% of
the right rows, as means over the draws. A draw takes about five minutes on one core.
"""

import random
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests.bench
from oresight.tasks.detection.detector import SignalTable, detect
from oresight.tasks.evaluation.trainable import trainable
from oresight.tasks.evaluation.training import Recipe, train
from oresight.tasks.scoring.model import PROBE, PROBE_TEXT, load, take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import mean_logprobs
from oresight.tasks.scoring.source import find
from tests.bench.bench_flags import SETS, drawn, signal_table
from tests.bench.flag_pools import encoded, made_rows, pool_of

TRUSTED, SHARE, DRAWS = 60, 0.2, 3
MODEL = "smollm2-135m-instruct"
RECIPE = Recipe(lora=True, rate=1e-3, epochs=2)


def losses_after(rows: list[Encoded], learned: list[Encoded], seed: int) -> list[float]:
    """Mean loss of the rows' answer tokens after the model has learned others."""
    source = find(MODEL)
    made = trainable(source, "cpu", lora=True, seed=seed)
    train(made, learned, RECIPE, seed)
    merged = made.model.merge_and_unload().eval()
    probe = list(made.tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
    with torch.no_grad():
        loaded = take_apart(merged, made.tokenizer, source.name, probe, None)
    return [-mean for mean in mean_logprobs(loaded, rows, 4096)]


def with_signals(table: SignalTable, **signals: NDArray[np.float64]) -> SignalTable:
    """The table with further signals, of trusted rows, rows and canaries in this order."""
    n, c = len(table.trusted_RS), len(table.trusted_RS) + len(table.rows_NS)
    more = np.column_stack(list(signals.values()))
    return replace(
        table,
        names=(*table.names, *signals),
        trusted_RS=np.column_stack([table.trusted_RS, more[:n]]),
        rows_NS=np.column_stack([table.rows_NS, more[n:c]]),
        canaries_CS=np.column_stack([table.canaries_CS, more[c:]]),
    )


def main() -> None:
    name, draws = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else DRAWS
    setting = SETS[name]
    pool, model = pool_of(list(setting.rows)), load(find(MODEL), "cpu", "float32")
    made = [made.row for source in setting.rows for made in made_rows(source)]
    results: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(draws):
        rows = drawn(pool, setting, TRUSTED, SHARE, random.Random(f"{name} {TRUSTED} {SHARE} {seed}"))
        every, n = np.concatenate(rows), len(rows.trusted_R)
        half = np.arange(len(every)) % 2
        half[n + len(rows.rows_N) :] = np.searchsorted(rows.trusted_R, pool["twin"][rows.canaries_C]) % 2
        ids = {int(i): encoded(model, made[int(i)]) for i in every}
        after = np.empty(len(every))
        for h in (0, 1):
            learned = [ids[int(i)] for i in rows.trusted_R[half[:n] != h]]
            after[half == h] = losses_after([ids[int(i)] for i in every[half == h]], learned, h)
        table, is_bad = signal_table(pool, rows), pool["defect"][rows.rows_N] != ""
        alone, fell = replace(table, peers=None), pool["nll"][every] - after
        for title, judged in {
            "neither": alone,
            "peers": table,
            "warm-up": with_signals(alone, after=after, fell=fell),
            "both": with_signals(table, after=after, fell=fell),
        }.items():
            detection = detect(judged)
            assert detection is not None
            suspicion = detection.suspicion_N
            found = float((suspicion[is_bad] > np.quantile(suspicion[~is_bad], 0.99)).mean())
            results[title].append((float(roc_auc_score(is_bad, suspicion)), found))
    for title, measured in results.items():
        auc, found = np.mean(measured, axis=0)
        sys.stdout.write(f"| {name} | {title} | {auc:.3f} | {found:.2f} |\n")


if __name__ == "__main__":
    main()
