"""Which rows teach one answer: what the index says of a question that nobody scored."""

from pathlib import Path

import pytest

from oresight.tasks.ask import ask
from oresight.tasks.config import Curate
from oresight.tasks.runs.record import Run
from tests.support.scored import ask as told
from tests.support.scored import scored
from tests.test_score import changed, config  # noqa: F401  config is a fixture


def asked(config: Curate, question: str, answer: str, n: int = 3):  # type: ignore[no-untyped-def]  # noqa: F811
    return ask(Run(config), question, answer, n)


def test_a_question_that_is_a_scored_row_gets_that_rows_products(config: Curate) -> None:  # noqa: F811
    scored(config)
    before = Path(config.database).read_bytes()
    ((name, prompt, answer),) = told(
        config, "SELECT sample_id, prompt, answer FROM rows WHERE dataset = 'trusted' LIMIT 1"
    )
    found = asked(config, prompt, answer)
    products = told(
        config,
        "SELECT v.sample_id, list_inner_product(v.vector, q.vector) AS value FROM vectors AS v,"
        f" (SELECT vector FROM vectors WHERE sample_id = '{name}') AS q WHERE v.dataset = 'dolly' ORDER BY value DESC",
    )
    wanted = products[:3] + products[-3:]
    assert [row["sample_id"] for row in found.rows] == [sample_id for sample_id, _ in wanted]
    assert [row["value"] for row in found.rows] == pytest.approx([value for _, value in wanted], rel=1e-3)
    assert found.correlation == told(config, "SELECT index_correlation FROM fits")[0][0]
    assert Path(config.database).read_bytes() == before


def test_without_an_index_the_step_that_makes_it_is_named(config: Curate) -> None:  # noqa: F811
    scored(config)
    other = changed(config, scoring={"max_tokens": 128})
    with pytest.raises(ValueError, match="has no index of this model; run `oresight score"):
        asked(other, "What?", "That.")
