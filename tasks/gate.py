"""What must hold before a version of a split is published."""

from typing import Any

from tasks.config import Curate
from tasks.database import Connection, records
from tasks.run import Refused


def gate(connection: Connection, config: Curate, place: dict[str, Any]) -> None:
    """Raises Refused, saying which number missed which bound, unless `publishing.require` holds for this version."""
    require = config.publishing.require
    (found,) = records(connection, "gate", place | {"rate": config.flagging.false_discovery_rate})
    missed = []
    for name, bound in require.model_dump().items():
        if bound is None:
            continue
        is_least, number = name == "detectability", found[name]
        if number is None:
            missed.append(f"{name} was not measured, because there are no canaries, and")
        elif number < bound if is_least else number > bound:
            missed.append(f"{name} is {number:.6g} and")
        else:
            continue
        missed[-1] += f" must be at {'least' if is_least else 'most'} {bound:g}"
    if missed:
        what = f"{place['split']}/v{place['version']}"
        raise Refused(f"{what} is not published: {'; '.join(missed)} (publishing.require)")
