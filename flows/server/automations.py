"""Bring a server's automations up to date with deployments/automations.yaml, without undoing what an operator changed.

Creating only what is missing would leave a corrected trigger out of every existing installation; replacing everything
would enable again what an operator disabled. So the description of an automation holds a stamp of what was last
written, and a part that still is as stamped has not been changed by anybody else.
"""

import hashlib
import json
import re
from typing import Any, NamedTuple, Self

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore


class Stamp(NamedTuple):
    """What `oresight deploy` last wrote to an automation.

    digest: of its trigger and actions. enabled: what the file said, which is not always what the server has.
    """

    digest: str
    enabled: bool

    @classmethod
    def read(cls, automation: AutomationCore) -> Self | None:
        """The stamp in the description, or None."""
        match = re.search(r"\[([0-9a-f]{12}), (enabled|disabled)\]", automation.description)
        return cls(match[1], match[2] == "enabled") if match else None

    @classmethod
    def of(cls, definition: AutomationCore) -> Self:
        """The stamp that a definition gets when it is written."""
        return cls(digest(definition), definition.enabled)

    def description(self) -> str:
        """The description that carries the stamp."""
        state = "enabled" if self.enabled else "disabled"
        return f"Kept up to date by `oresight deploy` from deployments/automations.yaml [{self.digest}, {state}]"


UNSTAMPED = {
    "oresight notices runs that died": Stamp("17d480465bce", True),
    "oresight starts them again": Stamp("81cc746573d8", True),
    "oresight gives notice": Stamp("79d3c7cf3a1a", False),
}
"""What deployments/automations.yaml held when `oresight deploy` wrote no stamps yet."""


def digest(automation: AutomationCore) -> str:
    """Identifies trigger and actions. Defaults are left out, so that a field that Prefect adds changes no digest."""
    content = automation.model_dump(mode="json", include={"trigger", "actions"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(_canonical(content), sort_keys=True).encode()).hexdigest()[:12]


def update_automations(client: SyncPrefectClient, definitions: list[dict[str, Any]]) -> list[str]:
    """Create the automations that the server does not have and update those that only `oresight deploy` has written.

    `enabled` is set from the definition unless it was changed on the server. Returns the names of the automations whose
    trigger or actions were changed on the server and differ from the definition: they stay as they are.
    """
    kept = []
    for definition in map(AutomationCore.model_validate, definitions):
        stamp = Stamp.of(definition)
        stamped = definition.model_copy(update={"description": stamp.description()})
        stored = client.read_automations_by_name(definition.name)
        if not stored:
            client.create_automation(stamped)
        for automation in stored:
            last = Stamp.read(automation) or UNSTAMPED.get(definition.name)
            if digest(automation) not in (stamp.digest, last and last.digest):
                kept.append(definition.name)
                continue
            as_written = last is not None and automation.enabled == last.enabled
            enabled = definition.enabled if as_written else automation.enabled
            update = stamped.model_copy(update={"enabled": enabled})
            if (update.description, enabled, digest(automation)) != (
                automation.description,
                automation.enabled,
                stamp.digest,
            ):  # fmt: skip  writing starts its trigger anew, which then forgets the runs that it watches
                client.update_automation(automation.id, update)
    return kept


def _canonical(value: Any) -> Any:
    """The same for equal content: empty values left out, lists of words in order, because their order means nothing."""
    if isinstance(value, dict):
        items = {key: _canonical(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return sorted(value) if all(isinstance(item, str) for item in value) else [_canonical(item) for item in value]
    return value
