"""What the assumption costs that the last layer stands for the whole model: the rank correlation of values with
products of whole gradients, by all parameters, on a sample of these data.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import bootstrap, spearmanr

from tasks.config import Curate
from tasks.database import reading, records
from tasks.detector import Floats
from tasks.encode import encoded
from tasks.findings import HASH, Finding, Place, pointer, table
from tasks.run import stored
from tasks.scoring.pairs import full_gradient, paired
from tasks.scoring.prompt import Encoded
from tasks.scoring.source import Source
from tasks.scoring.trainable import Trainable, trainable

ROWS, QUERIES = 40, 16
"""Rows, and trusted rows, that whole gradients are of: what they take grows with both."""
DRAWS = 1000


def approximation(config: Curate, source: Source, place: Place) -> list[str]:
    """Measure it, unless it is known, and tell it as markdown."""
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.dataset.name, config.reference.name)
    contents = [known[name].content_hash[:HASH] for name in (config.dataset.name, config.reference.name)]
    setting = f"{ROWS} rows against {QUERIES} at most"

    def find() -> Iterator[Finding]:
        made = trainable(source, config.model.device, lora=False)
        rows = _first(config, config.dataset.name, made, ROWS)
        queries = _first(config, config.reference.name, made, QUERIES)
        whole_N = full_gradient(made, rows, queries)
        for method in ("value", "embedding cosine"):
            scores = paired(method, source, config.model.device, config.model.dtype, rows, queries).scores
            value_N = scores[method].mean(1)
            drawn = bootstrap(
                (value_N, whole_N), _correlation, paired=True, vectorized=False, n_resamples=DRAWS,
                method="percentile", rng=np.random.default_rng(0),
            ).confidence_interval  # fmt: skip
            yield Finding(setting, method, None, "rank correlation", _correlation(value_N, whole_N))
            yield Finding(setting, method, None, "low", float(drawn.low))
            yield Finding(setting, method, None, "high", float(drawn.high))

    place = place.under(
        contents=contents, rows=ROWS, queries=QUERIES, max_tokens=config.scoring.max_tokens, dtype=config.model.dtype
    )
    unit = place.unit()
    place.once(unit, find, "gradients by all parameters")
    return table(place.of([unit]), ("rank correlation", "low", "high"), "with whole gradients, on")


def _correlation(a_N: Floats, b_N: Floats) -> float:
    return float(spearmanr(a_N, b_N).statistic)


def _first(config: Curate, dataset: str, made: Trainable, n: int) -> list[Encoded]:
    """The first rows of a dataset by their hashes: a random sample."""
    with reading(config.database) as connection:
        wanted = {"dataset": dataset, "first": pointer("-"), "second": pointer("-")}
        rows = records(connection, "findings_samples", wanted)[:n]
    return [row for _, row in encoded(rows, made, config.scoring.max_tokens)[0]]
