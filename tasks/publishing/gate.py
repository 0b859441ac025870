"""What must hold before a version of a split is published: the numbers first, then a person's yes."""

from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, records, transaction, writing
from oresight.tasks.evaluation.measure import ALPHA
from oresight.tasks.runs.record import Refused, Waiting

CURE = "`oresight approve CONFIG.yaml` says yes, then `oresight publish CONFIG.yaml`"


def gate(connection: Connection, config: Curate, place: dict[str, Any]) -> None:
    """Raises Refused, saying which number missed which bound of `publishing.require` or who said no; Waiting where
    `publishing.approval` wants a person who has not answered yet.
    """
    require, what = config.publishing.require, f"{place['split']}/v{place['version']}"
    (found,) = records(connection, "gate", place | {"rate": config.flagging.false_discovery_rate})
    missed = []
    for name, bound in require.model_dump().items():
        if bound is None or name == "better_than_random":
            continue
        is_least, number = name == "detectability", found[name]
        if number is None:
            missed.append(f"{name} was not measured, because there are no canaries, and")
        elif number < bound if is_least else number > bound:
            missed.append(f"{name} is {number:.6g} and")
        else:
            continue
        missed[-1] += f" must be at {'least' if is_least else 'most'} {bound:g}"
    if require.better_than_random and (why := _no_better(found["settled"])):
        missed.append(why)
    if missed:
        raise Refused(f"{what} is not published: {'; '.join(missed)} (publishing.require)")
    if config.publishing.approval == "none":
        return
    said = next(iter(records(connection, "approval", place)), {"decision": "asked"})
    match said["decision"]:
        case "asked":
            raise Waiting(f"{what} is not published: it waits for approval; {CURE}", **place, numbers=found)
        case "rejected":
            why = f": {said['note']}" if said["note"] else ""
            raise Refused(f"{what} is not published: {said['who']} rejected it{why}")
        case "timed out":
            raise Refused(f"{what} is not published: nobody approved it in time; {CURE}")


def _no_better(settled: dict[str, float] | None) -> str:
    """What is missing for finetunes to have shown that this version beats random rows."""
    if settled is None:
        return "better_than_random was not tried; `oresight settle CONFIG.yaml --test FILE` does, then publish"
    if settled["difference"] < 0 and settled["p"] < ALPHA:
        return ""
    return (
        "better_than_random is not shown: the test loss differs by"
        f" {settled['difference']:+.4f} nats, with a paired p of {settled['p']:.2g}"
    )


def record_answer(config: Curate, version: int, decision: str, who: str, note: str = "") -> None:
    """Keep what was said of publishing a version: asked, approved or rejected. It needs no turn: a run that goes on
    meanwhile does not look before it publishes.
    """
    said = {"decision": decision, "who": " ".join(who.split()), "note": " ".join(note.split())}
    place = {"split": config.splitting.name, "version": version, "hours": config.publishing.approval_hours}
    with writing(config.database) as connection, transaction(connection):
        execute(connection, "approval_insert", place | said)
