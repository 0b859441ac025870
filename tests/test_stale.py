"""What no longer counts is told with what is another now: row, reference, or a part of the model's key."""

from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Curate
from oresight.tasks.database import query, reading, transaction, writing
from tests.test_publish import release, some
from tests.test_split import sample_id, settings

KNOWN = {"weights": "w", "adapter": None, "template": "t", "masking": "m", "max_tokens": 9, "scoring_version": 1}


@pytest.fixture
def config(tmp_path: Path) -> Curate:
    one = settings(tmp_path, keep=0.8)
    release(one, some())
    return one


def use(config: Curate, name: str, **changes: Any) -> None:
    """A run with other settings of a model."""
    with writing(config.database) as connection, transaction(connection):
        values = KNOWN | {"settings": "{}", "model": name, "model_key": name} | changes
        connection.execute(query("score_register_model"), values)


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()


def change(config: Curate, statement: str) -> None:
    with writing(config.database) as connection, transaction(connection):
        connection.execute(statement)


STALE = "SELECT why, count(*) FROM stale_scores GROUP BY ALL"
VERSIONS = "SELECT split, version, folder, why FROM stale_versions"


def test_nothing_is_stale_while_nothing_has_changed_or_another_model_scores_too(config: Curate) -> None:
    use(config, "other@1", weights="v", max_tokens=5)
    assert ask(config, STALE) == ask(config, VERSIONS) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weights": "v"}, "the weights have changed"),
        ({"adapter": "a"}, "the adapter has changed"),
        ({"template": "u"}, "the prompt template has changed"),
        ({"masking": "n"}, "the masking has changed"),
        ({"max_tokens": 8}, "max_tokens was 9 and is 8"),
        ({"scoring_version": 2}, "the scoring version has changed"),
        ({"settings": '{"dtype": "float32"}'}, 'settings were {} and are {"dtype": "float32"}'),
        ({"adapter": "a", "max_tokens": 8}, "the adapter has changed; max_tokens was 9 and is 8"),
    ],
)
def test_each_part_of_the_models_key_is_named(config: Curate, changes: dict[str, Any], why: str) -> None:
    use(config, "tiny@1", **changes)
    assert ask(config, STALE) == [(why, 10)]
    folder = str(Path(config.publishing.folder) / "chosen" / "v1")
    assert ask(config, VERSIONS) == [("chosen", 1, folder, why)]
    change(config, "UPDATE store.models SET last_used_at = now() + INTERVAL 1 HOUR WHERE model = 'tiny@0'")
    assert ask(config, STALE) == ask(config, VERSIONS) == [], "it is used again"


def test_a_changed_reference_and_a_row_that_is_gone_are_named(config: Curate) -> None:
    change(config, f"UPDATE store.rows SET retired_at = now() WHERE sample_id = '{sample_id(3)}'")
    assert ask(config, "SELECT sample_id, dataset, model, why FROM stale_scores") == [
        (sample_id(3), "raw", "tiny@0", "the row has changed or is gone")
    ]
    change(config, "UPDATE store.datasets SET content_hash = 'x'")
    assert sorted(ask(config, STALE)) == [
        ("the reference has changed", 9),
        ("the row has changed or is gone; the reference has changed", 1),
    ]
    assert [why for *_, why in ask(config, VERSIONS)] == ["the dataset has changed; the reference has changed"]
