"""Is the stated error rate kept? python tests/bench/bench_flags.py [DRAWS] [SET ...].

A set says which sources trusted rows and other rows are drawn from (SETS). In skewed, trusted rows have other
proportions; half-foreign and new-source hold rows of sources that no trusted row is from. Of brief, trusted rows lack
the fifth of the rows with the shortest answers, have few of them, or lack the longest. Each draw takes trusted rows,
their canaries, and 400 other rows, of which a share is defective, and has them judged as the step `flag` does, at a
stated rate of 10%, with `flagging.error` estimated and guaranteed.

Printed are means over the draws: the share of false flags with its standard error, where a draw without a flag counts
as 0; the recall; of clean rows the share that is flagged; and the shares that are called unlike the trusted rows, of
rows of their sources and of other sources. The rows of a draw come from a few hundred (flag_pools.py), so the draws are
not independent, and the standard errors are too small.
"""

import random
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.detection.detector import detect
from oresight.tasks.detection.inputs import SignalTable, folds
from oresight.tasks.detection.labels import label_signals
from oresight.tasks.detection.lengths import Features
from oresight.tasks.detection.likeness import likeness
from oresight.tasks.detection.peers import Peers
from oresight.tasks.detection.signals import DETECTED_BY, LABEL_SIGNALS
from oresight.tasks.detection.twins import unit, without_twin

sys.path.insert(0, str(Path(__file__).parents[2]))  # the root, for tests.bench
from tests.bench.flag_pools import pool_of

Arrays = dict[str, NDArray[Any]]
Weights = dict[str, int]
ROWS, RATE, CANARIES, DRAWS = 400, 0.1, 50, 10
TRUSTED, SHARES = (30, 60, 100, 200), (0.0, 0.1, 0.2, 0.3)
FIVE = {"dolly": 3, "gsm8k": 2, "bbh": 2, "grammars": 2, "self_instruct": 1}


class Setting(NamedTuple):
    """The sources of trusted rows and of other rows, with their proportions."""

    trusted: Weights
    rows: Weights


def by_length(source: str) -> dict[str, Setting]:
    """Sets of one source whose trusted rows lack short answers, have few of them, or lack long ones."""
    short, middle, long = f"{source}, short", f"{source}, middle", f"{source}, long"
    rows = {short: 2, middle: 6, long: 2}
    return {
        source: Setting({source: 1}, {source: 1}),
        f"{source}, no short": Setting({middle: 6, long: 2}, rows),
        f"{source}, few short": Setting({short: 1, middle: 15, long: 5}, rows),
        f"{source}, no long": Setting({short: 2, middle: 6}, rows),
    }


SETS = {
    "dolly": Setting({"dolly": 1}, {"dolly": 1}),
    "gsm8k": Setting({"gsm8k": 1}, {"gsm8k": 1}),
    "mrpc": Setting({"mrpc": 1}, {"mrpc": 1}),
    "easy-vqa": Setting({"easy": 1}, {"easy": 1}),
    "mixed": Setting(FIVE, FIVE),
    "skewed": Setting({"dolly": 1, "gsm8k": 4, "bbh": 1}, {"dolly": 5, "gsm8k": 1, "bbh": 1}),
    "half-foreign": Setting({"dolly": 1}, {"dolly": 1, "gsm8k": 1}),
    "new-source": Setting({name: n for name, n in FIVE.items() if name != "gsm8k"}, FIVE),
    **by_length("brief"),
    **by_length("brief-tiny"),
}


class Drawn(NamedTuple):
    """Rows of a pool, by their numbers."""

    trusted_R: NDArray[np.int64]
    rows_N: NDArray[np.int64]
    canaries_C: NDArray[np.int64]


def drawn(pool: Arrays, setting: Setting, trusted: int, share: float, draw: random.Random) -> Drawn:
    """Draw trusted rows, their canaries, and rows of which a share is defective, no two of them from one row."""
    is_clean, is_canary = pool["defect"] == "", pool["is_candidate"] & (pool["defect"] != "")
    has_canaries = np.isin(np.arange(len(is_clean)), pool["twin"][is_canary])
    chosen = list[int]()
    for source, n in parts(setting.trusted, trusted).items():  # canaries are made of some rows only
        here = is_clean & (pool["source"] == source)
        copied, others = np.flatnonzero(here & has_canaries).tolist(), np.flatnonzero(here & ~has_canaries).tolist()
        most = min(n, len(copied), CANARIES + 15)
        chosen += draw.sample(copied, most) + draw.sample(others, n - most)
    canaries, often = list[int](), Counter[str]()
    for i in np.flatnonzero(is_canary & np.isin(pool["twin"], chosen)).tolist():
        if often[kind := str(pool["defect"][i])] < CANARIES:
            often[kind] += 1
            canaries.append(i)
    good, bad = list[int](), list[int]()
    is_used = np.isin(pool["twin"], chosen)
    for source, n in parts(setting.rows, ROWS).items():
        here = (pool["source"] == source) & ~is_used & ~is_canary
        wrong = defective(pool, np.flatnonzero(here & ~is_clean).tolist(), round(n * share), draw)
        free = here & is_clean & ~np.isin(pool["twin"], pool["twin"][wrong])
        bad += wrong
        good += draw.sample(np.flatnonzero(free).tolist(), n - len(wrong))
    rows = draw.sample(good + bad, len(good + bad))
    return Drawn(np.array(sorted(chosen)), np.array(rows), np.array(canaries))


def parts(weights: Weights, total: int) -> Weights:
    """How many of a total fall to each source."""
    ends = np.rint(np.cumsum([0, *weights.values()]) / sum(weights.values()) * total).astype(int)
    return dict(zip(weights, np.diff(ends).tolist(), strict=True))


def defective(pool: Arrays, rows: list[int], n: int, draw: random.Random) -> list[int]:
    """At most n of these rows, from the kinds of defect in turn, and no two copies of one row."""
    queues = [
        draw.sample(of_kind, len(of_kind))
        for kind in sorted({str(pool["defect"][i]) for i in rows})
        if (of_kind := [i for i in rows if pool["defect"][i] == kind])
    ]
    taken: dict[int, int] = {}  # by the row that they are copies of
    for row in chain.from_iterable(zip_longest(*queues)):
        if row is not None and len(taken) < n:
            taken.setdefault(int(pool["twin"][row]), row)
    return list(taken.values())


def signal_table(pool: Arrays, rows: Drawn) -> SignalTable:
    """The signals of a draw, as the step `flag` has them."""
    every = np.concatenate(rows)
    n, c = len(rows.trusted_R), len(rows.trusted_R) + len(rows.rows_N)
    twins_C = np.searchsorted(rows.trusted_R, pool["twin"][rows.canaries_C])
    vector, state = (pool[name][every].astype(float) for name in ("vector", "state"))
    near = unit(state) @ unit(state[:n]).T
    near[:n][np.diag_indices(n)] = -np.inf
    local = np.take_along_axis(vector @ vector[:n].T, np.argsort(-near, 1)[:, :20], 1).mean(1)
    value = vector @ vector[:n].mean(0)
    value[:n] = (n * value[:n] - np.square(vector[:n]).sum(1)) / (n - 1)
    value[c:], local[c:] = without_twin(
        value_C=value[c:], vector_CM=vector[c:], state_CS=state[c:], twins_C=twins_C, vector_RM=vector[:n],
        state_RS=state[:n],
    )  # fmt: skip
    stored = {name: pool[name][every] for name in DETECTED_BY if name in pool}
    root, tokens = np.sqrt(np.maximum(stored["self_value"], 1e-9)), pool["answer_tokens"][every]
    columns = stored | {
        "value": value, "value_per_token": value / tokens, "value_cosine": value / root, "local_value": local,
        "self_value": root, "total_gain": stored["conditional_gain"] * tokens,
    }  # fmt: skip
    fold, copy_of = np.concatenate([folds(n), folds(c - n), folds(n)[twins_C]]), np.full(len(every), -1)
    copy_of[c:] = twins_C
    answers = pool["answer"][every].astype(object)
    labels = label_signals(
        lambda: state.astype(np.float32), pa.array(answers), np.arange(len(every)) < n, fold, copy_of
    )
    columns |= dict(zip(LABEL_SIGNALS, (labels.probe, labels.agreement), strict=True)) if labels else {}
    names = DETECTED_BY + (LABEL_SIGNALS if labels else ())
    x = np.column_stack([columns[name] for name in names])
    states = state.astype(np.float32)
    alike = likeness(Features(states[n:c], tokens[n:c]), Features(states[:n], tokens[:n]))
    return SignalTable(
        names=names,
        rows_NS=x[n:c],
        trusted_RS=x[:n],
        canaries_CS=x[c:],
        kinds_C=pool["defect"][rows.canaries_C].tolist(),
        twins_C=twins_C,
        is_unlike_N=alike.is_unlike_N,
        weights=alike.weights,
        peers=Peers.of(states[n:c], states[:n], states[c:], twins_C),
    )


class Outcome(NamedTuple):
    """What became of the rows of one draw; shares."""

    false_flags: float
    recall: float
    flagged: float
    foreign_flagged: float
    """Of the clean rows of sources that no trusted row is from."""
    foreign_unlike: float
    own_unlike: float


def outcomes(pool: Arrays, setting: Setting, trusted: int, share: float, draw: random.Random) -> list[Outcome]:
    """One draw, with an estimated and a guaranteed error."""
    rows = drawn(pool, setting, trusted, share, draw)
    table = signal_table(pool, rows)
    is_bad = pool["defect"][rows.rows_N] != ""
    is_foreign = ~np.isin(pool["source"][rows.rows_N], [*setting.trusted])
    results = []
    for error in ("estimated", "guaranteed"):
        done = detect(table, RATE, error=error)
        flagged = np.zeros(len(is_bad), bool) if done is None else done.q_N <= RATE
        results.append(
            Outcome(
                (flagged & ~is_bad).sum() / max(flagged.sum(), 1),
                mean_of(flagged, is_bad),
                flagged.mean(),
                mean_of(flagged, is_foreign & ~is_bad),
                mean_of(~table.is_like_N, is_foreign),
                mean_of(~table.is_like_N, ~is_foreign),
            )
        )
    return results


def mean_of(x_N: NDArray[np.bool_], where_N: NDArray[np.bool_]) -> float:
    """The share of some rows for which something is true; 0 of none."""
    return float(x_N[where_N].mean()) if where_N.any() else 0.0


def cells(results: Sequence[Outcome], share: float, is_foreign: bool) -> list[str]:
    """The columns that depend on the kind of error."""
    means = Outcome(*np.mean(results, axis=0))
    error = np.std([result.false_flags for result in results], ddof=1) / len(results) ** 0.5
    rate = f"{means.false_flags:.3f} ({error:.3f})" if share else f"{means.flagged:.4f} flagged"
    return [rate, f"{means.recall:.2f}" if share else "", f"{means.foreign_flagged:.4f}" if is_foreign else ""]


def main() -> None:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS
    head = ["set", "trusted", "bad", *2 * ["false flags", "recall", "foreign flagged"], "foreign unlike", "own unlike"]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    for name in sys.argv[2:] or SETS:
        setting, pool = SETS[name], pool_of(list(SETS[name].rows))
        is_foreign = bool(setting.rows.keys() - setting.trusted.keys())
        for trusted in TRUSTED:
            for share in SHARES:
                seeds = [random.Random(f"{name} {trusted} {share} {seed}") for seed in range(draws)]
                estimated, guaranteed = zip(
                    *(outcomes(pool, setting, trusted, share, draw) for draw in seeds), strict=True
                )
                unlike = np.mean(estimated, axis=0)[-2:]
                line = [name, str(trusted), f"{share:.0%}"]
                line += cells(estimated, share, is_foreign) + cells(guaranteed, share, is_foreign)
                line += [f"{unlike[0]:.2f}" if is_foreign else "", f"{unlike[1]:.3f}"]
                sys.stdout.write(f"| {' | '.join(line)} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
