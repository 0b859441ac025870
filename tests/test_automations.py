"""`oresight deploy` brings automations up to date on a real server and keeps what an operator changed there."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from oresight.flows.server.automations import UNSTAMPED, Stamp, digest, update_automations
from tests.support.environments import ROOT
from tests.support.server import PASSWORD, Server

DIED, AGAIN, NOTICE = "oresight notices runs that died", "oresight starts them again", "oresight gives notice"


@pytest.fixture
def client(bare_server: Server) -> Iterator[SyncPrefectClient]:
    """A client of a server that has no automations."""
    settings = {PREFECT_API_URL: f"{bare_server.url}/api", PREFECT_API_AUTH_STRING: PASSWORD}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        yield client


def definitions() -> list[dict[str, Any]]:
    return yaml.safe_load((ROOT / "deployments" / "automations.yaml").read_text())["automations"]


def definitions_without_stamps() -> list[dict[str, Any]]:
    """Those of the last version that wrote no stamps: runs of the command line were watched too."""
    former = definitions()
    assert former[0]["name"] == DIED
    former[0]["trigger"]["match_related"] = {
        "prefect.resource.name": ["curate", "score"],
        "prefect.resource.role": "flow",
    }
    return former


def stored(client: SyncPrefectClient, name: str) -> Automation:
    (automation,) = client.read_automations_by_name(name)
    return automation


def change(client: SyncPrefectClient, name: str, **changes: Any) -> None:
    """What an operator does in the pages."""
    automation = stored(client, name)
    content = automation.model_dump(exclude={"owner_resource"}) | changes
    client.update_automation(automation.id, AutomationCore.model_validate(content))


def install_former(client: SyncPrefectClient) -> None:
    for definition in definitions_without_stamps():
        client.create_automation(AutomationCore.model_validate(definition))


def test_an_installation_without_stamps_gets_the_corrected_automation_in_place(client: SyncPrefectClient) -> None:
    install_former(client)
    former = stored(client, DIED)
    assert {a.name: Stamp(digest(a), a.enabled) for a in client.read_automations()} == UNSTAMPED
    assert update_automations(client, definitions()) == []
    updated = stored(client, DIED)
    assert updated.id == former.id and updated.enabled
    assert {"prefect.resource.role": "deployment"} in updated.model_dump()["trigger"]["match_related"]
    assert len(client.read_automations()) == len(definitions())


def test_deploying_again_writes_nothing(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    update_automations(client, definitions())
    before = client.read_automations()
    assert all(Stamp.read(automation) == Stamp(digest(automation), automation.enabled) for automation in before)
    writes: list[UUID] = []
    monkeypatch.setattr(type(client), "update_automation", lambda self, automation_id, _: writes.append(automation_id))
    assert update_automations(client, definitions()) == [] and writes == []
    assert client.read_automations() == before


def install_earlier(client: SyncPrefectClient, stamps: bool) -> None:
    """What an earlier `oresight deploy` left on the server: before it wrote stamps, or since."""
    if stamps:
        update_automations(client, definitions_without_stamps())
    else:
        install_former(client)


@pytest.mark.parametrize("stamps", [False, True])
def test_what_an_operator_disabled_or_enabled_stays_so_while_its_trigger_is_corrected(
    client: SyncPrefectClient, stamps: bool
) -> None:
    install_earlier(client, stamps)
    client.pause_automation(stored(client, DIED).id)
    change(client, NOTICE, enabled=True)
    for _ in range(2):
        assert update_automations(client, definitions()) == []
        assert isinstance(stored(client, DIED).model_dump()["trigger"]["match_related"], list)
        assert [stored(client, name).enabled for name in (DIED, AGAIN, NOTICE)] == [False, True, True]


@pytest.mark.parametrize("stamps", [False, True])
def test_a_trigger_or_action_that_an_operator_changed_stays_and_is_named(
    client: SyncPrefectClient, stamps: bool
) -> None:
    install_earlier(client, stamps)
    trigger = stored(client, DIED).trigger.model_dump() | {"within": 600}
    change(client, DIED, trigger=trigger)
    block = "11111111-1111-1111-1111-111111111111"
    action = stored(client, NOTICE).model_dump()["actions"][0] | {"block_document_id": block}
    change(client, NOTICE, actions=[action], enabled=True)
    before = stored(client, DIED), stored(client, NOTICE)
    assert update_automations(client, definitions()) == [DIED, NOTICE]
    assert (stored(client, DIED), stored(client, NOTICE)) == before


def test_what_changed_in_the_file_changes_on_the_server(client: SyncPrefectClient) -> None:
    update_automations(client, definitions())
    edited = definitions()
    edited[0]["trigger"]["within"] = 300
    edited[2]["enabled"] = True
    edited[2]["actions"][0]["block_document_id"] = "22222222-2222-2222-2222-222222222222"
    assert update_automations(client, edited) == []
    assert stored(client, DIED).trigger.within.total_seconds() == 300  # type: ignore[union-attr]
    assert stored(client, NOTICE).enabled
    assert str(stored(client, NOTICE).actions[0].block_document_id) == edited[2]["actions"][0]["block_document_id"]  # type: ignore[union-attr]


def test_an_operators_own_automations_stay(client: SyncPrefectClient) -> None:
    own = AutomationCore.model_validate(definitions()[1] | {"name": "mine"})
    client.create_automation(own)
    update_automations(client, definitions())
    assert stored(client, "mine").description == ""
