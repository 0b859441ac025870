"""The steps of a run on rows with planted defects, in a database of their own beside the user's; the rows of all seeds
are scored in one go.
"""

from collections.abc import Iterator

from tasks.config import Curate
from tasks.database import reading
from tasks.findings import HASH, Finding, Place, matrix, table, verdicts
from tasks.flag import flag
from tasks.ingest import ingest
from tasks.plant import plant
from tasks.planted import ALL, RIVALS, Embedded, Trial, drawn, judged, together
from tasks.run import recorded, stored
from tasks.score import score
from tasks.scoring.source import Source

METRICS = ("auc", "recall at 20%", "average precision", "false-discovery proportion", "share of the wrong flagged")


def trials(config: Curate, source: Source, place: Place, trial: Trial) -> list[str]:
    """Every seed that is not known yet, then what all of them say, as markdown."""
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.dataset.name, config.reference.name)
    contents = [known[name].content_hash[:HASH] for name in (config.dataset.name, config.reference.name)]
    place = place.under(
        contents=contents, share=trial.share, rows=trial.rows, canaries=config.flagging.canaries,
        rate=config.flagging.false_discovery_rate,
    )  # fmt: skip
    units = [place.unit(seed=seed) for seed in range(trial.seeds)]
    todo = {seed: drawn(config, trial, seed) for seed, unit in enumerate(units) if not place.knows(unit)}
    if todo:
        whole = together(config, list(todo.values()))
        with recorded(whole, "evaluate") as run_id:
            _prepared(whole, run_id)
    embedded = Embedded(source, config)
    for seed, unit in enumerate(units):

        def find(seed: int = seed) -> Iterator[Finding]:
            there = todo[seed]
            with recorded(there, "evaluate") as run_id:
                key = _prepared(there, run_id)
                flag(there, key, run_id)
            yield from judged(there, key, embedded, trial.share, seed)

        place.once(unit, find, f"seed {seed}, {trial.share:.0%} of {trial.rows} rows at most get a defect")
    made = place.compared(units, "auc", RIVALS, "wilcoxon")
    numbers = place.of(units)
    every, kinds = ([one for one in numbers if one.setting.endswith(ALL) == is_all] for is_all in (True, False))
    tables = [*table(every, METRICS, "planted"), "", *matrix(kinds, "auc")]
    return [*tables, *verdicts([one for one in made if one[0].endswith(ALL)], "AUC")]


def _prepared(there: Curate, run_id: str) -> str:
    """Read and score rows, canaries too; gives the model's key."""
    ingest(there.database, there.dataset, "dataset", run_id)
    ingest(there.database, there.reference, "reference", run_id)
    plant(there, run_id)
    return score(there, run_id).model_key
