"""The steps of a run on rows with planted defects, in a database of their own beside the user's."""

from collections.abc import Iterator

from tasks.config import Curate
from tasks.database import reading
from tasks.findings import Finding, Place, matrix, table, verdicts
from tasks.flag import flag
from tasks.ingest import ingest
from tasks.plant import plant
from tasks.planted import ALL, RIVALS, Embedded, Trial, drawn, judged
from tasks.run import recorded, stored
from tasks.score import score
from tasks.scoring.source import Source

METRICS = ("auc", "recall at 20%", "average precision", "false-discovery proportion", "share of the wrong flagged")


def trials(config: Curate, source: Source, place: Place, trial: Trial) -> list[str]:
    """Every seed that is not known yet, then what all of them say, as markdown."""
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.dataset.name, config.reference.name)
    contents = [known[name].content_hash for name in (config.dataset.name, config.reference.name)]
    embedded, units = Embedded(source, config), []
    for seed in range(trial.seeds):

        def find(seed: int = seed) -> Iterator[Finding]:
            there = drawn(config, trial, seed)
            with recorded(there, "evaluate") as run_id:
                ingest(there.database, there.dataset, "dataset", run_id)
                ingest(there.database, there.reference, "reference", run_id)
                plant(there, run_id)
                key = score(there, run_id).model_key
                flag(there, key, run_id)
                yield from judged(there, key, embedded, trial.share, seed)

        unit = place.unit(contents=contents, share=trial.share, rows=trial.rows, seed=seed,
                          canaries=config.flagging.canaries, rate=config.flagging.false_discovery_rate)  # fmt: skip
        units.append(
            place.once(unit, find, f"seed {seed}, {trial.share:.0%} of {trial.rows} rows at most get a defect")
        )
    made = place.compared(units, "auc", RIVALS, "wilcoxon")
    numbers = place.of(units)
    whole, kinds = ([one for one in numbers if one.setting.endswith(ALL) == is_all] for is_all in (True, False))
    tables = [*table(whole, METRICS, "planted"), "", *matrix(kinds, "auc")]
    return [*tables, *verdicts([one for one in made if one[0].endswith(ALL)], "AUC")]
