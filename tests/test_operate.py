"""What an operator is promised without a server: backup and restore, migrations, a person's answer, drift."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oresight.flows.server.events import emit_drift
from oresight.tasks import connection
from oresight.tasks.config import Curate
from oresight.tasks.database import SQL, reading, transaction, turn, writing
from oresight.tasks.publish import publish
from oresight.tasks.publishing.gate import record_answer
from oresight.tasks.runs.record import Refused, Run, Waiting, recorded
from oresight.tasks.split import Split
from tests.test_publish import release, some
from tests.test_split import sample_id, settings


def oresight(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oresight.flows.cli", *arguments]
    where = {"cwd": Path(__file__).parents[1], "capture_output": True, "text": True, "check": False}
    return subprocess.run([part.replace("HERE", str(folder)) for part in command], **where)  # type: ignore[call-overload,no-any-return]


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()


def with_approval(folder: Path, **splitting: Any) -> Curate:
    config = settings(folder, **splitting)
    config.publishing.approval = "required"
    return config


def test_a_backup_that_is_restored_is_what_it_was_and_is_gone_on_from(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    release(config, some())
    done = oresight("backup", "HERE/copy.duckdb", "--database", "HERE/t.duckdb", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    was = {table: ask(config, f"FROM {table} ORDER BY ALL") for table in ("rows", "scores", "splits", "split_rows")}
    release(config, some(20))
    assert ask(config, "SELECT max(version) FROM splits") == [(2,)]
    shutil.move(config.publishing.folder + "/chosen/v2", tmp_path / "aside")
    Path(config.database).unlink()
    Path(f"{config.database}.wal").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.duckdb", config.database)
    assert {table: ask(config, f"FROM {table} ORDER BY ALL") for table in was} == was
    again = release(config, some(20))
    assert again.new and again.folder.name == "v2"
    assert (again.folder / "train.jsonl").read_bytes() == (tmp_path / "aside" / "train.jsonl").read_bytes()


def test_a_database_that_is_not_there_cannot_be_backed_up(tmp_path: Path) -> None:
    done = oresight("backup", "HERE/copy.duckdb", "--database", "HERE/none.duckdb", folder=tmp_path)
    assert done.returncode == 2 and "none.duckdb: no such database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_an_older_version_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    database = str(tmp_path / "old.duckdb")
    old = sorted(file for file in (SQL / "migrations").glob("*.sql") if file.stem < "0009")
    with writing(database) as connection, transaction(connection):
        connection.execute("CREATE SCHEMA store")
        connection.execute("CREATE TABLE store.migrations (migration VARCHAR, applied_at TIMESTAMPTZ)")
        for file in old:
            connection.execute(file.read_text())
            connection.execute("INSERT INTO store.migrations VALUES (?, now())", [file.stem])
        connection.execute(
            "INSERT INTO store.rejects BY NAME SELECT 'raw' AS dataset, 'f' AS source_file, 'kept' AS reason, '' AS raw"
        )
        connection.execute(
            "INSERT INTO store.vectors VALUES ('a', 'k', [3, -1.5, 0.01, 0], [0, 0]), ('b', 'k', [], [])"
        )
    with turn(database):
        pass
    question = "SELECT (SELECT count(*) FROM store.migrations), (SELECT any_value(reason) FROM store.rejects)"
    now = len(list((SQL / "migrations").glob("*.sql")))
    for file, known in ((f"{database}.before-0009", len(old)), (database, now)):
        with reading(file) as connection:
            assert connection.execute(question).fetchall() == [(known, "kept")]
            (one, none) = connection.execute("SELECT vector, state FROM store.vectors ORDER BY sample_id").fetchall()
            assert one == (pytest.approx([3, -1.5, 0.01, 0], abs=3 / 127 / 2), [0, 0]) and none == ([], [])
    with turn(database):
        pass
    assert [file.name for file in tmp_path.glob("*.before-*")] == ["old.duckdb.before-0009"]


def test_what_waits_for_a_person_is_published_after_a_yes_and_never_after_a_no(tmp_path: Path) -> None:
    config = with_approval(tmp_path, keep=0.8)
    with pytest.raises(Waiting, match="chosen/v1 is not published: it waits for approval") as waiting:
        release(config, some())
    assert (waiting.value.numbers["rows_kept"], waiting.value.numbers["dropped"]) == (8, 0.2)
    record_answer(config, 1, "asked", "")
    with pytest.raises(Waiting):
        publish(Run(config), 1)
    with writing(config.database) as connection:  # as if the clock had been set back since
        connection.execute("UPDATE store.approvals SET decided_at = decided_at + INTERVAL 1 YEAR")
    record_answer(config, 1, "approved", " Ada\n", "looked  at two")
    done = publish(Run(config), 1)
    said = json.loads((done.folder / "manifest.json").read_text())["approval"]
    assert said == {"decision": "approved", "who": "Ada", "note": "looked at two"}
    with pytest.raises(Waiting):
        release(config, some(20))
    record_answer(config, 2, "rejected", "Ada", "too many")
    with pytest.raises(Refused, match="Ada rejected it: too many"):
        publish(Run(config), 2)
    assert [folder.name for folder in done.folder.parent.glob("v*")] == ["v1"]
    assert ask(config, "SELECT version, decision FROM approvals ORDER BY version") == [(1, "approved"), (2, "rejected")]


def test_nobodys_answer_in_time_is_a_no_and_a_late_yes_counts(tmp_path: Path) -> None:
    config = with_approval(tmp_path, keep=0.8)
    with pytest.raises(Waiting):
        release(config, some())
    config.publishing.approval_hours = 0
    record_answer(config, 1, "asked", "")
    with pytest.raises(Refused, match="nobody approved it in time"):
        publish(Run(config), 1)
    assert ask(config, "SELECT decision FROM approvals") == [("timed out",)]
    record_answer(config, 1, "approved", "Ada")
    assert publish(Run(config), 1).new


def test_duckdbs_memory_follows_the_machine_or_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = tmp_path / "memory.max"
    monkeypatch.setattr(connection, "CGROUP", container)
    container.write_text("1000000000\n")
    assert connection.automatic_memory() == "250MB"
    container.write_text("max\n")
    assert 250 < int(connection.automatic_memory().removesuffix("MB")) <= 2000
    for setting, stored in (("700MB", "667.5 MiB"), ("auto", "1.8 GiB")):
        config = settings(tmp_path).model_copy(update={"memory_limit": setting})
        monkeypatch.setattr(connection, "automatic_memory", lambda: "2000MB")
        with recorded(config, "split"), reading(config.database) as opened:
            assert opened.execute("SELECT current_setting('memory_limit')").fetchone() == (stored,)
    for wrong in ("lots", "8", "0GB", "-1GB"):
        with pytest.raises(ValueError, match="memory_limit"):
            Curate.model_validate({"dataset": {"name": "a", "path": "a"}, "memory_limit": wrong})


def test_drift_is_a_view_and_gives_notice_beyond_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, keep=0.8, drop="flagged")
    release(config, some(), flags=[(sample_id(1), "looks_mislabeled", "warning")])
    release(config, some(), flags=[(sample_id(n), "looks_mislabeled", "warning") for n in range(1, 5)])
    question = (
        "SELECT version, previous, round(flagged, 3), round(flagged_moved, 3), rows_moved FROM split_drift ORDER BY 1"
    )
    assert ask(config, question) == [(1, None, 0.1, None, None), (2, 1, 0.4, 0.3, 0)]
    events: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "oresight.flows.server.events.emit_event", lambda what, _, payload: events.append((what, payload["message"]))
    )
    for moved in (None, 0.05, -0.1, 0.3, -0.3):
        emit_drift(config, Split("chosen", 2, True, 6, 4, 60, moved))
    assert [what for what, _ in events] == ["oresight.drifted"] * 2
    assert events[0][1] == "chosen/v2: the share of flagged rows has moved by +30.0 points; flagging.drift is 0.1"
