"""Run the trials: the pipeline on rows with planted defects, in a database beside the user's.

The rows of all seeds are scored in one run.
"""

from collections.abc import Iterator

from oresight.flows.pipeline import Pipeline
from oresight.tasks.evaluation.ledger import Ledger, Result, content_hashes
from oresight.tasks.evaluation.tables import comparison_tables, metric_matrix, result_table
from oresight.tasks.evaluation.trials import ALL, RIVALS, EmbeddingCache, combined_trials, draw_trial, judge_trial
from oresight.tasks.flag import flag
from oresight.tasks.runs.progress import progress
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.trusted import trusted_rows

METRICS = ("auc", "recall at 20%", "average precision", "false-discovery proportion", "share of the wrong flagged")


def run_trials(run: Run) -> list[str]:
    """Run every seed without a stored result. Returns the results of all seeds as markdown."""
    # The database of the trials has no decisions of people, so their trusted rows come from the file.
    config = run.config.model_copy(update={"reference": trusted_rows(run.config)})
    settings = config.evaluating
    ledger = Ledger.of(
        run, "planted", contents=content_hashes(run), share=settings.share, rows=settings.rows,
        canaries=config.flagging.canaries, rate=config.flagging.false_discovery_rate,
    )  # fmt: skip
    units = [ledger.unit(seed=seed) for seed in range(settings.seeds)]
    todo = {seed: draw_trial(config, seed) for seed, unit in enumerate(units) if not ledger.has(unit)}
    if todo:
        with recorded(combined_trials(config, list(todo.values())), "evaluate", model=run.model) as trial:
            _score_trial(trial)
    embeddings = EmbeddingCache(run.model.files, config)
    with progress("evaluate", len(units), "trials") as advance:
        for seed, unit in enumerate(units):

            def compute(seed: int = seed) -> Iterator[Result]:
                with recorded(todo[seed], "evaluate", model=run.model) as trial:
                    _score_trial(trial)
                    flag(trial)
                yield from judge_trial(trial, embeddings, seed)

            ledger.compute_once(
                unit, compute, f"seed {seed}, defects in {settings.share:.0%} of at most {settings.rows} rows"
            )
            advance(1, seed in todo)
    compared = ledger.compare(units, "auc", RIVALS, test="wilcoxon")
    results = ledger.read(units)
    on_all = [result for result in results if result.setting.endswith(ALL)]
    by_kind = [result for result in results if not result.setting.endswith(ALL)]
    tables = [*result_table(on_all, METRICS, "planted"), "", *metric_matrix(by_kind, "auc")]
    return [*tables, *comparison_tables([row for row in compared if row.setting.endswith(ALL)], "AUC")]


def _score_trial(trial: Run) -> None:
    """Ingest and score rows and canaries. Most scores are reused from the run over all seeds."""
    pipeline = Pipeline(trial)
    pipeline.read()
    pipeline.plant()
    pipeline.score()
