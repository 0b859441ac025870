"""Measure how well gradients of the last layer stand for gradients of the whole model.

On a sample of the data: the rank correlation of values with products of gradients by all parameters.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import bootstrap, spearmanr

from oresight.tasks.config import Curate
from oresight.tasks.detection.detector import Floats
from oresight.tasks.evaluation.ledger import Ledger, Result, content_hashes
from oresight.tasks.evaluation.pairs import full_gradient, score_pairs
from oresight.tasks.evaluation.samples import dataset_rows
from oresight.tasks.evaluation.tables import result_table
from oresight.tasks.evaluation.trainable import ModelSpec, Trainable, trainable
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.workload.encode import encode_rows

ROWS, QUERIES = 40, 16
"""Rows, and trusted rows, whose gradients by all parameters are computed: the time grows with both."""
DRAWS = 1000
"""Bootstrap draws of the interval."""


def measure_approximation(run: Run) -> list[str]:
    """Measure the correlation, unless it is stored already. Returns markdown."""
    config, spec = run.config, ModelSpec.of(run)
    setting = f"{ROWS} rows against {QUERIES} at most"

    def compute() -> Iterator[Result]:
        model = trainable(spec.source, spec.device, lora=False)
        rows = _first_rows(config, config.dataset.name, model, ROWS)
        queries = _first_rows(config, config.reference_name, model, QUERIES)
        gradient_N = full_gradient(model, rows, queries)
        for method in ("value", "embedding cosine"):
            value_N = score_pairs(method, spec, rows, queries).scores[method].mean(1)
            interval = bootstrap(
                (value_N, gradient_N), _correlation, paired=True, vectorized=False, n_resamples=DRAWS,
                method="percentile", rng=np.random.default_rng(0),
            ).confidence_interval  # fmt: skip
            yield Result(setting, method, None, "rank correlation", _correlation(value_N, gradient_N))
            yield Result(setting, method, None, "low", float(interval.low))
            yield Result(setting, method, None, "high", float(interval.high))

    ledger = Ledger.of(
        run, "approximation", contents=content_hashes(run), rows=ROWS, queries=QUERIES,
        max_tokens=config.scoring.max_tokens, dtype=config.model.dtype,
    )  # fmt: skip
    unit = ledger.compute_once(ledger.unit(), compute, "gradients by all parameters")
    return result_table(
        ledger.read([unit]), ("rank correlation", "low", "high"), "with gradients by all parameters, on"
    )


def _correlation(a_N: Floats, b_N: Floats) -> float:
    return float(spearmanr(a_N, b_N).statistic)


def _first_rows(config: Curate, dataset: str, model: Trainable, n: int) -> list[Encoded]:
    """The first n rows of a dataset by their hashes: a random sample."""
    rows = dataset_rows(config.database, dataset)[:n]
    return [row for _, row in encode_rows(rows, model, config.scoring.max_tokens)[0]]
