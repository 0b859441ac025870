"""The gate before a version of a split is published: first the required numbers, then a person's approval."""

from dataclasses import dataclass
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, reading, records, transaction, writing
from oresight.tasks.evaluation.measure import ALPHA
from oresight.tasks.runs.record import Refused, Waiting

CURE = "`oresight approve CONFIG.yaml` says yes, then `oresight publish CONFIG.yaml`"


def gate(connection: Connection, config: Curate, version: dict[str, Any]) -> None:
    """Stop a version that must not be published. version: its $parameters split and version.

    Raises Refused, with the numbers that missed the bounds of `publishing.require` or the person who rejected it;
    Waiting if `publishing.approval` requires a person who has not answered yet.
    """
    require, title = config.publishing.require, f"{version['split']}/v{version['version']}"
    (numbers,) = records(connection, "gate", version | {"rate": config.flagging.false_discovery_rate})
    missed = []
    for name, bound in require.model_dump().items():
        if bound is None or name == "better_than_random":
            continue
        is_least, number = name == "detectability", numbers[name]
        if number is None:
            missed.append(f"{name} was not measured, because there are no canaries, and")
        elif number < bound if is_least else number > bound:
            missed.append(f"{name} is {number:.6g} and")
        else:
            continue
        missed[-1] += f" must be at {'least' if is_least else 'most'} {bound:g}"
    if require.better_than_random and (why := _lacking_evidence(numbers["settled"])):
        missed.append(why)
    if missed:
        raise Refused(f"{title} is not published: {'; '.join(missed)} (publishing.require)")
    if config.publishing.approval == "none":
        return
    approval = next(iter(records(connection, "approval", version)), {"decision": "asked"})
    match approval["decision"]:
        case "asked":
            raise Waiting(f"{title} is not published: it waits for approval; {CURE}", **version, numbers=numbers)
        case "rejected":
            why = f": {approval['note']}" if approval["note"] else ""
            raise Refused(f"{title} is not published: {approval['who']} rejected it{why}")
        case "timed out":
            raise Refused(f"{title} is not published: nobody approved it in time; {CURE}")


def _lacking_evidence(settled: dict[str, float] | None) -> str:
    """Why finetunes do not show that this version is better than random rows; empty if they do."""
    if settled is None:
        return "better_than_random was not tried; `oresight settle CONFIG.yaml --test FILE` does, then publish"
    if settled["difference"] < 0 and settled["p"] < ALPHA:
        return ""
    return (
        "better_than_random is not shown: the test loss differs by"
        f" {settled['difference']:+.4f} nats, with a paired p of {settled['p']:.2g}"
    )


@dataclass(frozen=True)
class Answer:
    """What a person, or nobody yet, decided about a version, and where it is published."""

    decision: str = "asked"
    who: str = ""
    folder: str | None = None


def current_answer(config: Curate, version: int) -> Answer:
    """The current decision about a version of the configured split."""
    keys = {"split": config.splitting.name, "version": version}
    with reading(config.database) as connection:
        answer = next(iter(records(connection, "approval", keys)), {"decision": "asked", "who": ""})
        (folder,) = execute(connection, "published_folder", keys).fetchone() or (None,)
    return Answer(answer["decision"], answer["who"], folder)


def record_answer(config: Curate, version: int, decision: str, who: str, note: str = "") -> None:
    """Store a decision about publishing a version: asked, approved or rejected.

    This does not wait for a run in progress, because a run reads approvals only when it publishes.
    """
    answer = {"decision": decision, "who": " ".join(who.split()), "note": " ".join(note.split())}
    version_keys = {"split": config.splitting.name, "version": version, "hours": config.publishing.approval_hours}
    with writing(config.database) as connection, transaction(connection):
        execute(connection, "approval_insert", version_keys | answer)
