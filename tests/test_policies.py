"""Ways to choose beyond the highest values, each against a second computation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from oresight.tasks.config import Splitting
from oresight.tasks.database import transaction, writing
from tests.test_split import KEY, decided, decisions, divide, fill, open_run, row, sample_id, settings


def table(count: int, seed: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    values, tokens = random.normal(size=count), random.integers(1, 60, size=count)
    return [row(n, float(values[n]), int(tokens[n]), group="ab"[n % 2]) for n in range(count)]


def kept(frame: pd.DataFrame) -> set[str]:
    return set(frame[frame.decision == "keep"].index)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0])
def test_a_length_penalty_divides_by_a_power_of_the_answers_length(tmp_path: Path, penalty: float) -> None:
    rows = table(40)
    _, found = decided(tmp_path, rows, keep=0.25, length_penalty=penalty)
    merit = {r["sample_id"]: r["value"] / r["tokens"] ** penalty for r in rows}
    assert kept(found) == set(sorted(merit, key=lambda name: -merit[name])[:10])


def test_a_random_share_keeps_the_best_and_draws_the_rest(tmp_path: Path) -> None:
    rows = table(100)
    best = sorted(rows, key=lambda r: -r["value"])
    draws = []
    for seed in (0, 0, 1):
        _, found = decided(tmp_path / str(len(draws)), rows, rows=20, random_share=0.3, seed=seed)
        stay = kept(found)
        assert len(stay) == 20 and {r["sample_id"] for r in best[:14]} <= stay
        drawn = stay - {r["sample_id"] for r in best[:14]}
        assert all(found.loc[name].reason.startswith("kept: drawn at random, rank ") for name in drawn)
        draws.append(drawn)
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != {r["sample_id"] for r in best[14:20]}


def test_a_random_share_of_a_budget_of_tokens_stays_within_it_in_every_part(tmp_path: Path) -> None:
    rows = table(200)
    done, found = decided(tmp_path, rows, tokens=1000, per="group", random_share=0.5)
    size = {r["sample_id"]: (r["group"], r["tokens"]) for r in rows}
    for group in "ab":
        spent = sum(tokens for name in kept(found) if (part := size[name])[0] == group for tokens in part[1:])
        assert 440 < spent <= 500
    assert 880 < done.tokens_kept <= 1000


def test_rows_that_nearly_repeat_a_better_one_go_and_each_has_one_that_stays(tmp_path: Path) -> None:
    rows = table(300)
    random = np.random.default_rng(1)
    centres = random.normal(size=(40, 16))
    vectors = centres[random.integers(40, size=300)] + 0.1 * random.normal(size=(300, 16))
    vectors[7] = 0
    config = settings(tmp_path, distinct=0.98)
    flagged = sample_id(max(range(300), key=lambda n: rows[n]["value"]))
    with open_run(config) as run:
        fill(config.database, rows, flags=[(flagged, "looks_mislabeled", "warning")])
        frame = pd.DataFrame({"sample_id": [r["sample_id"] for r in rows], "vector": vectors.tolist()})
        with writing(config.database) as connection, transaction(connection):
            connection.register("frame", frame)
            connection.execute(
                f"INSERT INTO store.packed SELECT sample_id, '{KEY}', store.pack(vector, unit), unit, [], 0, [], 0"
                " FROM (SELECT *, store.unit(vector) AS unit FROM frame)"
            )
        divide(run)
    found = decisions(config, 1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    stay: list[int] = []
    for n in sorted(range(300), key=lambda n: -rows[n]["value"]):
        if sample_id(n) != flagged and not any(unit[n] @ unit[m] >= 0.98 for m in stay):
            stay.append(n)
    assert kept(found) == {sample_id(n) for n in stay}
    assert 40 <= len(stay) < 290 and sample_id(7) in kept(found)
    gone = found[found.reason.str.startswith("nearly the same as ")]
    assert len(gone) == 299 - len(stay) and found.loc[flagged].reason.startswith("flagged by looks_mislabeled")
    for reason in gone.reason:
        assert reason.split()[4].rstrip(":") in kept(found) and float(reason.split()[-1]) >= 0.98


def test_settings_that_do_not_go_together_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match="random_share is a share of a budget; give one of keep, rows and tokens"):
        Splitting(random_share=0.1)
    with pytest.raises(ValidationError, match="length_penalty works with by: value only, not with by: random"):
        Splitting(length_penalty=0.5, by="random")


def test_the_rule_is_told_in_words() -> None:
    assert Splitting(rows=9).rule() == (
        "the nearest to each trusted row in turn, suspicious rows last, rows 9, drop flagged, seed 0"
    )
    rule = Splitting(
        by="value", keep=0.8, per="topic", length_penalty=0.5, random_share=0.1, distinct=0.98, seed=3
    ).rule()
    assert rule == (
        "the highest by value / answer tokens^0.5, keep 0.8, per topic, 0.1 of the budget at random,"
        " none within cosine 0.98 of a better one, drop flagged, seed 3"
    )
