"""by: match, from database to decisions: trusted rows take rows in turn, and wrong-looking rows come last."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oresight.tasks.config import Curate
from oresight.tasks.configfile import validated
from oresight.tasks.database import reading, transaction, writing
from oresight.tasks.runs.record import Run
from oresight.tasks.split import split
from tests.test_split import decisions, fill, open_run, row, sample_id, settings

KINDS = 4
"""Kinds of rows; row n is of kind n % KINDS. Kind 3 has no trusted row, and the trusted row 102 has no row like it."""
TRUSTED = {100: 0, 101: 1, 102: 9, 103: 2}
"""Trusted rows and their kinds."""


def near(kind: int, n: int) -> list[int]:
    """A vector of 16 numbers that is close to those of its kind."""
    draw = np.random.default_rng([kind, n])
    return [
        *np.clip(np.random.default_rng(kind).integers(-100, 100, 16) + draw.integers(-25, 25, 16), -127, 127).tolist()
    ]


def fill_vectors(
    database: str,
    rows: list[dict[str, Any]],
    p_of: dict[str, float] | None = None,
    unlike_because: dict[str, str] | None = None,
) -> None:
    """Add trusted rows, vectors of all rows, and suspicions, of some rows with why they are unlike all trusted rows."""
    numbers = {sample_id(n): n for n in range(200)}
    kinds = {r["sample_id"]: numbers[r["sample_id"]] % KINDS for r in rows} | {
        sample_id(n): k for n, k in TRUSTED.items()
    }
    packed = pd.DataFrame(
        {"sample_id": i, "vector": near(kind, numbers[i]), "text_state": near(kind, numbers[i] + 500)}
        for i, kind in kinds.items()
    )
    trusted = pd.DataFrame({"sample_id": [sample_id(n) for n in TRUSTED]})
    judged = pd.DataFrame(
        [(i, -p, p, (unlike_because or {}).get(i)) for i, p in (p_of or {}).items()],
        columns=["sample_id", "suspicion", "p_value", "unlike_because"],
    )
    with writing(database) as connection, transaction(connection):
        connection.execute("DELETE FROM store.packed; DELETE FROM store.suspicions")
        connection.register("packed_frame", packed)
        connection.register("trusted_frame", trusted)
        connection.register("judged_frame", judged)
        connection.execute(
            "INSERT INTO store.packed BY NAME SELECT sample_id, 'key' AS model_key, vector::TINYINT[] AS vector,"
            " 1 AS unit, []::TINYINT[] AS state, 1 AS state_unit, text_state::TINYINT[] AS text_state,"
            " 0.01 AS text_unit FROM packed_frame"
        )
        connection.execute(
            "INSERT INTO store.rows BY NAME SELECT 'trusted' AS dataset, sample_id, 'instruction' AS kind,"
            " 'q' AS prompt, 'a' AS answer, '[]' AS messages, '{}' AS metadata, '{}' AS record,"
            " 't.jsonl' AS source_file, 1 AS source_line FROM trusted_frame"
        )
        connection.execute(
            "INSERT INTO store.suspicions BY NAME SELECT sample_id, 'raw' AS dataset, 'key' AS model_key, 'trusted' AS"
            " reference, 'trusted-hash' AS reference_hash, 'dataset' AS role, suspicion, p_value, 0.5 AS q_value,"
            " unlike_because::VARCHAR AS unlike_because,"
            " 'truncated_answer' AS looks_like, 'r' AS run_id FROM judged_frame"
        )


def matched(
    folder: Path,
    raw: list[dict[str, Any]],
    p_of: dict[str, float] | None = None,
    unlike_because: dict[str, str] | None = None,
    **splitting: Any,
) -> pd.DataFrame:
    """The decisions about the rows."""
    config = settings(folder, by="match", **splitting)
    with open_run(config) as run:
        fill(config.database, raw)
        fill_vectors(config.database, raw, p_of, unlike_because)
        return decisions(config, split(run).version)


def the_rows(**more: Any) -> list[dict[str, Any]]:
    return [row(n, 0.1, **more) for n in range(80)]


def kinds_kept(frame: pd.DataFrame) -> dict[int, int]:
    kept = set(frame.index[frame.decision == "keep"])
    return {kind: sum(sample_id(n) in kept for n in range(80) if n % KINDS == kind) for kind in range(KINDS)}


def test_rows_go_to_the_trusted_rows_that_have_rows_like_them(tmp_path: Path) -> None:
    frame = matched(tmp_path, the_rows(), rows=12)
    assert kinds_kept(frame) == {0: 4, 1: 4, 2: 4, 3: 0}
    kept = frame[frame.decision == "keep"]
    assert kept.matched_to.map({sample_id(n): k for n, k in TRUSTED.items()}).to_dict() == {
        sample_id(n): n % KINDS for n in range(80) if sample_id(n) in kept.index
    }
    assert sorted(kept["round"]) == sorted([*range(1, 5)] * 3) and (kept.similarity > 0.8).all()
    one = kept[kept["round"] == 2].iloc[0]
    assert one.reason == f"kept: round 2 for trusted row {one.matched_to[:12]} (cosine {one.similarity:.2f})"
    other = frame[frame.decision == "drop"].iloc[0]
    assert (
        other.reason
        == f"over budget: nearest trusted row {other.matched_to[:12]} (cosine {other.similarity:.2f}), 12 kept"
    )
    assert frame["round"].isna().sum() == 68 and set(frame.cause) == {"rank"}


def test_where_nothing_near_is_left_the_budget_goes_to_the_nearest_of_the_rest(tmp_path: Path) -> None:
    frame = matched(tmp_path, the_rows(), rows=70)
    assert kinds_kept(frame) == {0: 20, 1: 20, 2: 20, 3: 10}
    rest = frame[(frame.decision == "keep") & frame["round"].isna()]
    assert len(rest) == 10 and rest.reason.str.startswith("kept: the budget had room, nearest trusted row ").all()
    dropped = frame[frame.decision == "drop"]
    assert rest.similarity.min() >= dropped.similarity.max()


def test_without_a_budget_all_stay_and_the_ranks_are_those_of_the_turns(tmp_path: Path) -> None:
    frame = matched(tmp_path, the_rows()).sort_values("rank")
    assert (frame.decision == "keep").all() and frame["rank"].tolist() == list(range(1, 81))
    assert frame["round"].dropna().is_monotonic_increasing and frame["round"].count() == 60


def test_suspicious_rows_come_last(tmp_path: Path) -> None:
    p_of = {sample_id(n): (0.01 + n / 1000 if n % 5 == 0 else 0.6) for n in range(80)}
    # Of four trusted rows the worst is the limit: 1 / (1 + 4).
    p_of[sample_id(1)] = 0.2
    frame = matched(tmp_path, the_rows(), p_of, rows=66)
    suspicious = {i for i, p in p_of.items() if p <= 0.2}
    last = [i for i in frame.index[frame.decision == "keep"] if i in suspicious]
    assert len(suspicious) == 17 and len(last) == 66 - 63
    assert set(last) == set(sorted(suspicious, key=lambda i: -p_of[i])[:3])
    assert (
        frame.reason[last].str.match("kept: the budget had room for suspicious rows .like truncated_answer, p 0").all()
    )
    dropped = frame.loc[frame.decision == "drop"]
    assert (dropped.cause == "suspicion").all() and dropped.reason.str.startswith(
        "suspicious: like truncated_answer, p "
    ).all()


def test_the_most_suspicious_share_is_left_out_without_a_budget(tmp_path: Path) -> None:
    """Twelve of the 80 rows are not judged, so a tenth is a tenth of 68 rows."""
    p_of = {sample_id(n): (n + 1) / 100 for n in range(68)}
    frame = matched(tmp_path, the_rows(), p_of, drop={"suspicious": 0.1})
    dropped = frame[frame.decision == "drop"]
    assert set(dropped.index) == {sample_id(n) for n in range(6)} and set(dropped.cause) == {"suspicion"}
    assert dropped.reason[sample_id(1)] == (
        "suspicious: place 2 of 68, most like truncated_answer;"
        " splitting.drop leaves out the first 6, without an error rate"
    )


@pytest.mark.parametrize("splitting", [{"rows": 66}, {"drop": {"suspicious": 0.2}}])
def test_a_row_whose_answer_has_another_length_was_not_judged_and_is_not_suspicious(
    tmp_path: Path, splitting: dict[str, Any]
) -> None:
    p_of = {sample_id(n): (0.01 + n / 1000 if n % 5 == 0 else 0.6) for n in range(80)}
    because = {sample_id(n): ("asks", "shorter", "longer")[n % 3] for n in range(0, 80, 5)}
    frame = matched(tmp_path, the_rows(), p_of, because, **splitting)
    suspicious = set(frame.index[frame.cause == "suspicion"])
    assert suspicious and not suspicious & {i for i, why in because.items() if why != "asks"}
    assert suspicious >= {i for i in list(because)[:9] if because[i] == "asks"}


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("suspicious", "splitting.drop: is \"suspicious\", but must be 'flagged' or 'nothing'"),
        ({"suspicious": 3}, "splitting.drop.suspicious: is 3, but must be less than 1"),
        ({"share": 0.1}, "splitting.drop.share: is not a key; .*the keys here are suspicious"),
        ({"suspicious": 0.1, "x": 1}, "splitting.drop.x: is not a key; the keys here are suspicious$"),
    ],
)
def test_a_wrong_drop_is_refused_with_the_error_of_the_form_that_was_meant(drop: Any, message: str) -> None:
    tree = {"dataset": {"name": "a", "path": "a"}, "reference": {"name": "b", "path": "b"}, "splitting": {"drop": drop}}
    with pytest.raises(ValueError, match=message):
        validated(tree)


def test_a_budget_of_tokens_is_filled_with_rows_that_fit(tmp_path: Path) -> None:
    rows = [row(n, 0.1, tokens=7 + n % 9) for n in range(80)]
    frame = matched(tmp_path, rows, tokens=100)
    tokens = {r["sample_id"]: r["tokens"] for r in rows}
    spent = sum(tokens[i] for i in frame.index[frame.decision == "keep"])
    assert 100 - 7 < spent <= 100 and kinds_kept(frame)[3] == 0


def test_each_part_has_turns_of_its_own(tmp_path: Path) -> None:
    rows = [row(n, 0.1, group="a" if n < 20 else "b") for n in range(80)]
    frame = matched(tmp_path, rows, keep=0.3, per="group")
    kept = set(frame.index[frame.decision == "keep"])
    assert [sum(sample_id(n) in kept for n in part) for part in (range(20), range(20, 80))] == [6, 18]
    assert kinds_kept(frame) == {0: 8, 1: 8, 2: 8, 3: 0}
    assert frame.reason[next(iter(kept))].endswith((" in group a", " in group b"))


def test_a_verdict_comes_first_and_a_share_is_drawn(tmp_path: Path) -> None:
    config = settings(tmp_path, by="match", rows=20, random_share=0.5)
    with open_run(config) as run:
        fill(config.database, the_rows())
        fill_vectors(config.database, the_rows())
        with writing(config.database) as connection:
            connection.execute(
                "INSERT INTO store.verdicts BY NAME SELECT ? AS sample_id, 'raw' AS dataset, 'keep' AS verdict,"
                " '' AS why, 'Ada' AS who, now() AS decided_at",
                [sample_id(3)],
            )
        frame = decisions(config, split(run).version)
    assert frame.reason[sample_id(3)] == "kept by hand: kept by Ada" and pd.isna(frame.matched_to[sample_id(3)])
    assert frame.cause.value_counts().to_dict() == {"rank": 69, "draw": 10, "verdict": 1}
    assert (frame.decision == "keep").sum() == 20 and (frame["round"].notna() & (frame.decision == "keep")).sum() >= 9


def test_the_order_of_rows_changes_nothing_and_the_seed_does(tmp_path: Path) -> None:
    config = settings(tmp_path, by="match", rows=10)
    with open_run(config) as run:
        versions = []
        for rows in (the_rows(), the_rows()[::-1]):
            fill(config.database, rows)
            fill_vectors(config.database, rows)
            versions.append(split(run))
        other = config.model_copy(update={"splitting": config.splitting.model_copy(update={"seed": 1})})
        versions.append(split(Run(other, run.run_id, run.model)))
    assert [done.new for done in versions] == [True, False, True]
    first, second = (decisions(config, version) for version in (1, 2))
    assert (first["rank"] != second["rank"]).any() and kinds_kept(first)[3] == kinds_kept(second)[3] == 0


def test_distinct_rows_are_matched_and_their_repeats_are_not(tmp_path: Path) -> None:
    frame = matched(tmp_path, the_rows(), rows=60, distinct=0.97)
    assert (frame.cause == "near duplicate").any()
    assert frame[frame.cause == "near duplicate"].matched_to.isna().all()


def coverage(config: Curate, version: int = 1) -> pd.DataFrame:
    with reading(config.database) as connection:
        frame = connection.execute("FROM coverage WHERE version = ? ORDER BY sample_id", [version]).df()
    return frame.set_index("sample_id")


def test_the_coverage_names_starved_trusted_rows(tmp_path: Path) -> None:
    matched(tmp_path, the_rows(), rows=12)
    frame = coverage(settings(tmp_path))
    assert frame.rows_kept.to_dict() == {sample_id(n): 0 if kind == 9 else 4 for n, kind in TRUSTED.items()}
    assert frame.is_starved.to_dict() == {sample_id(n): kind == 9 for n, kind in TRUSTED.items()}
    assert set(frame.twin) <= set(frame.index) and (frame.twin_similarity < 0.9).all() and (frame.prompt == "q").all()


@pytest.mark.parametrize("by", ["value", "random", "value_cosine"])
def test_other_orders_match_nothing(tmp_path: Path, by: str) -> None:
    config = settings(tmp_path, by=by, rows=12)
    with open_run(config) as run:
        fill(config.database, the_rows())
        with writing(config.database) as connection:
            connection.execute("UPDATE store.scores SET value_cosine = value")
        frame = decisions(config, split(run).version)
    assert frame.matched_to.isna().all() and (frame.decision == "keep").sum() == 12
    assert len(coverage(config)) == 0
