"""The step: only what is missing is scored, shard by shard and device by device, and the index answers in SQL."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oresight.tasks import score as step
from oresight.tasks.config import Curate
from oresight.tasks.runs.progress import Progress
from oresight.tasks.scoring import engine
from oresight.tasks.workload import shards as cut
from tests.support.scored import ask, scored

DATA = Path(__file__).parent / "data"
DOLLY = (DATA / "dolly.jsonl").read_text().splitlines(keepends=True)
TRUSTED = (DATA / "trusted.jsonl").read_text().splitlines(keepends=True)


@pytest.fixture
def config(tmp_path: Path, stories: Path, monkeypatch: pytest.MonkeyPatch) -> Curate:
    monkeypatch.setattr(cut, "SHARD", 16)
    monkeypatch.setattr(engine, "SAMPLE", 8)
    monkeypatch.setattr(engine, "HELD", 8)
    (tmp_path / "rows.jsonl").write_text("".join(DOLLY[:60]))
    (tmp_path / "trusted.jsonl").write_text("".join(TRUSTED[:20]))
    return Curate.model_validate(
        {
            "database": str(tmp_path / "o.duckdb"),
            "dataset": {"name": "dolly", "path": str(tmp_path / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(tmp_path / "trusted.jsonl")},
            "model": {"name": str(stories), "device": "cpu"},
            "scoring": {"batch_tokens": 1024, "max_tokens": 256},
        }
    )


def numbers(config: Curate) -> dict[str, tuple[float, ...]]:
    rows = ask(config, "SELECT sample_id, value, self_value, nll, conditional_gain, local_value FROM scores")
    return {row[0]: row[1:] for row in rows}


def changed(config: Curate, **sections: dict[str, Any]) -> Curate:
    tree = config.model_dump()
    for name, keys in sections.items():
        tree[name] |= keys
    return Curate.model_validate(tree)


def same(found: dict[str, tuple[float, ...]], expected: dict[str, tuple[float, ...]]) -> None:
    assert found.keys() == expected.keys()
    for column in range(5):
        ours, theirs = ([numbers[key][column] for key in sorted(numbers)] for numbers in (found, expected))
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5 * max(map(abs, theirs)))


def test_all_numbers_are_there_and_each_shard_is_a_task(config: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    shown: list[Progress] = []
    batches: list[tuple[float, float]] = []

    @contextmanager
    def progress(name: str, total: int, unit: str = "rows", work: float | None = None) -> Iterator[Any]:
        shown.append(Progress(name, total, unit, work))

        def advance(rows: float, work: float) -> None:
            batches.append((rows, work))
            shown[-1].advance(rows, work)

        yield advance

    monkeypatch.setattr(step, "progress", progress)

    def as_task(shard: Callable[[int], int]) -> Callable[[int], int]:
        def told(number: int) -> int:
            ran.append(number)
            return shard(number)

        return told

    done = scored(config, as_task=as_task)
    assert (done.scored, done.unscorable) == (80, 0)
    assert ran == [0, 1, 2]  # 60 rows, less the 16 that the index and the reference's form were fitted on
    (state,) = shown
    assert round(state.done, 6) == 80 and state.work_done == pytest.approx(state.work)
    assert len(batches) > 12 and max(work for _, work in batches) < state.work / 4, "progress is per batch"
    columns = [
        "value",
        "value_per_token",
        "value_cosine",
        "self_value",
        "nll",
        "worst_token",
        "conditional_gain",
        "local_value",
    ]
    counts = ", ".join(f"count({column})" for column in columns)
    assert ask(config, f"SELECT {counts} FROM scores") == [(80,) * len(columns)]
    assert ask(config, "SELECT count(*), count(DISTINCT sample_id), min(len(vector)) > 10, max(len(vector)) <= 256,"
                       " max(len(state)) <= 128 FROM vectors") == [(80, 80, True, True, True)]  # fmt: skip
    ((rank, tokens, residual, deviation, correlation, pairs, rows),) = ask(
        config, "SELECT rank, tokens, residual, deviation, index_correlation, index_pairs, reference_rows FROM fits"
    )
    assert 0 < rank <= 64 and 0 < tokens <= 512 and 0 <= residual < 1 and 0 <= deviation <= 1e-3
    assert -1 <= correlation <= 1 and pairs > 20 and rows == 20
    ((notes,),) = ask(config, "SELECT notes FROM runs")
    assert json.loads(notes)["rank"] == rank and json.loads(notes)["index_correlation"] == correlation


def test_two_devices_score_the_same_as_one(config: Curate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scored(config)
    twice = changed(config)
    twice.database = str(tmp_path / "twice.duckdb")
    monkeypatch.setattr(step, "devices", lambda _wanted: ["cpu", "cpu"])
    assert scored(twice).scored == 80
    same(numbers(twice), numbers(config))
    assert ask(twice, "SELECT count(*), count(DISTINCT sample_id) FROM store.scores") == [(80, 80)]


def test_a_shard_that_fails_stops_the_others_and_keeps_what_was_committed(
    config: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "devices", lambda _wanted: ["cpu", "cpu"])

    def as_task(shard: Callable[[int], int]) -> Callable[[int], int]:
        def failing(number: int) -> int:
            if number == 1:
                raise RuntimeError("a device is gone")
            return shard(number)

        return failing

    with pytest.raises(RuntimeError, match="a device is gone"):
        scored(config, as_task=as_task)
    (have,) = ask(config, "SELECT count(*) FROM scores")[0]
    assert 36 <= have < 80
    assert scored(config).scored == 80 - have


def test_new_rows_are_scored_alone_with_the_reference_and_the_index_as_they_were(
    config: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(config)
    before = numbers(config)
    (tmp_path / "rows.jsonl").write_text("".join(DOLLY[:90]))
    assert scored(config).scored == 30
    assert {key: row for key, row in numbers(config).items() if key in before} == before
    ((forms, bases),) = ask(
        config, "SELECT (SELECT count(DISTINCT (rank, tokens)) FROM fits), (SELECT count(*) FROM store.bases)"
    )
    assert (forms, bases) == (1, 1)
    whole = changed(config)
    whole.database = str(tmp_path / "whole.duckdb")
    monkeypatch.setattr(engine, "SAMPLE", 70)  # another sample, another index: but the same values
    scored(whole)
    for key, row in numbers(config).items():
        assert row[:4] == pytest.approx(numbers(whole)[key][:4], rel=1e-2, abs=max(r[0] for r in before.values()) / 500)


def test_another_reference_is_answered_by_the_index_and_the_vectors_stay(config: Curate, tmp_path: Path) -> None:
    scored(config)
    other = changed(config, reference={"name": "others", "path": str(tmp_path / "others.jsonl")})
    (tmp_path / "others.jsonl").write_text("".join(TRUSTED[20:60]))
    scored(other)
    question = """
        SELECT corr(v.value, s.value), count(*), avg(v.index_correlation)
        FROM value_against('others') AS v JOIN scores AS s USING (sample_id, dataset)
        WHERE s.reference = 'others' AND dataset = '{}'"""
    for dataset, rows in (("dolly", 60), ("others", 40)):
        ((correlation, count, quality),) = ask(config, question.format(dataset))
        assert correlation > 0.9 and count == rows and quality is not None
    assert ask(config, "SELECT count(*), count(DISTINCT sample_id) FROM store.packed") == [(120, 120)]


def test_influences_are_the_reference_rows_that_pull_most(config: Curate) -> None:
    scored(config)
    sample_id = random.Random(0).choice(sorted(numbers(config)))
    found = ask(config, f"SELECT sample_id, value FROM influences('{sample_id}', 3)")
    everyone = ask(
        config,
        f"""SELECT o.sample_id, list_inner_product(v.vector, o.vector) AS value FROM vectors AS v, vectors AS o
            WHERE v.sample_id = '{sample_id}' AND o.dataset = 'trusted' AND o.sample_id <> v.sample_id
            ORDER BY value DESC""",
    )
    assert found == everyone[:3] + everyone[-3:]


def test_the_conditional_gain_can_be_turned_off_and_a_models_positions_are_a_limit(
    config: Curate, tmp_path: Path, stories: Path
) -> None:
    short = tmp_path / "short"
    short.mkdir()
    for file in stories.iterdir():
        (short / file.name).write_bytes(file.read_bytes())
    settings = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(settings | {"max_position_embeddings": 64}))
    scored(changed(config, model={"name": str(short)}, scoring={"conditional_gain": False}))
    ((gains, cut, longest),) = ask(
        config,
        "SELECT count(conditional_gain), count(*) FILTER (truncated), max(prompt_tokens + answer_tokens) FROM scores",
    )
    assert gains == 0 and cut > 0 and longest == 64


def test_a_run_that_continues_keeps_the_precision_that_was_found(
    config: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    load = step.load

    def told(source: Any, device: str, dtype: str, *others: Any, **options: Any) -> Any:
        asked.append(dtype)
        return load(source, device, dtype, *others, **options)

    monkeypatch.setattr(step, "load", told)
    for rows in (20, 30):
        (tmp_path / "rows.jsonl").write_text("".join(DOLLY[:rows]))
        scored(config)
    assert asked == ["auto", "float32"]


def test_with_the_index_a_new_reference_takes_its_own_rows_only_and_exact_settles_it(
    config: Curate, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="score --index: there is no index of this model yet"):
        scored(config, exact=False)
    scored(config)
    other = changed(config, reference={"name": "others", "path": str(tmp_path / "others.jsonl")})
    (tmp_path / "others.jsonl").write_text("".join(TRUSTED[20:60]))
    done = scored(other, exact=False)
    assert 40 <= done.scored < 100
    quick = dict(ask(other, "SELECT sample_id, value FROM value_against('others') WHERE dataset = 'dolly'"))
    assert len(quick) == 60
    assert scored(other).scored == 100 - done.scored
    exact = dict(ask(other, "SELECT sample_id, value FROM scores WHERE reference = 'others' AND dataset = 'dolly'"))
    names = sorted(exact)
    assert np.corrcoef([quick[name] for name in names], [exact[name] for name in names])[0, 1] > 0.9


@pytest.mark.parametrize(("rows", "size"), [(0, 16), (1_999_999, 16), (3_000_000, 48), (50_000_000, 64)])
def test_shards_of_many_rows_are_larger_because_commits_take_longer(config: Curate, rows: int, size: int) -> None:
    assert cut.shard_rows(config, rows) == size


@pytest.mark.parametrize("damage", [b"", b"PAR1 no table", None])
def test_shards_that_are_damaged_are_cut_again(config: Curate, damage: bytes | None) -> None:
    def fails(_shard: Callable[[int], int]) -> Callable[[int], int]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        scored(config, as_task=fails)
    file = Path(f"{config.database}.shards", "rows.parquet")
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    scored(config)
    assert ask(config, "SELECT count(*) FROM scores") == [(80,)]


STORED = (
    "SELECT * EXCLUDE (scored_at, run_id) FROM store.scores ORDER BY sample_id",
    "FROM store.packed ORDER BY sample_id",
    "SELECT content FROM store.fitted",
)


@pytest.mark.parametrize("commits", [1, 2])
def test_a_run_that_goes_on_stores_what_an_undisturbed_one_does_to_the_last_digit(
    config: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Broken off after so many commits, again and again."""
    monkeypatch.setattr("oresight.tasks.workload.todo.COMMIT_S", 0.0)
    whole = changed(config)
    whole.database = str(tmp_path / "whole.duckdb")
    scored(whole)
    commit, left, breaks = step.commit_scores, 0, 0

    def breaking(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        commit(*arguments)
        left -= bool(arguments[1])

    monkeypatch.setattr(step, "commit_scores", breaking)
    while breaks < 50:
        left = commits
        try:
            scored(config)
            break
        except KeyboardInterrupt:
            breaks += 1
    assert breaks > 1
    for question in STORED:
        assert ask(config, question) == ask(whole, question)
    assert not Path(f"{config.database}.shards").exists()


def test_shards_that_a_run_left_are_cut_again_when_a_row_came(config: Curate, tmp_path: Path) -> None:
    def fails(shard: Callable[[int], int]) -> Callable[[int], int]:
        def failing(number: int) -> int:
            if number == 1:
                raise RuntimeError
            return shard(number)

        return failing

    with pytest.raises(RuntimeError):
        scored(config, as_task=fails)
    (tmp_path / "rows.jsonl").write_text("".join(DOLLY[5:70]))
    scored(config)
    assert ask(config, "SELECT count(*), count(DISTINCT sample_id) FROM scores") == [(85, 85)]
    for table in ("scores", "packed"):
        ((rows, distinct),) = ask(config, f"SELECT count(*), count(DISTINCT sample_id) FROM store.{table}")
        assert rows == distinct >= 85


def test_values_of_tokens_are_kept_for_all_rows_for_short_ones_or_for_none(config: Curate, tmp_path: Path) -> None:
    few = [json.dumps(json.loads(line) | {"output": "yes"}) + "\n" for line in DOLLY[50:60]]
    (tmp_path / "rows.jsonl").write_text("".join([*few, *DOLLY[:50]]))
    scored(config)
    everything = ask(config, f"{NUMBERS} ORDER BY sample_id")
    ((short,),) = ask(config, "SELECT count(*) FROM scores WHERE answer_tokens <= 16")
    signals = ask(config, "SELECT sample_id, token_logprobs[1], token_logprobs[-1] FROM store.scores ORDER BY ALL")
    assert 0 < short < 60
    for kept, rows in (("short", short), ("none", 0)):
        less = changed(config, scoring={"token_values": kept})
        less.database = str(tmp_path / f"{kept}.duckdb")
        scored(less)
        assert ask(less, f"{NUMBERS} ORDER BY sample_id") == everything
        assert ask(less, "SELECT count(DISTINCT sample_id) FROM token_scores") == [(rows,)]
        first_and_last = "SELECT sample_id, token_logprobs[1], token_logprobs[-1] FROM store.scores ORDER BY ALL"
        assert ask(less, first_and_last) == signals


NUMBERS = "SELECT sample_id, value, self_value, nll, worst_token, conditional_gain, local_value FROM scores"
