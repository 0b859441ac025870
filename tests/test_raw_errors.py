"""What used to end with the error of a library is one sentence with exit code 2, or costs itself only."""

import os
from pathlib import Path

import pytest

from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading, turn
from oresight.tasks.formats.sources import list_files
from oresight.tasks.runs.user import user_name

GOOD = '{"question": "q", "answer": "a"}\n'


def test_a_deeply_nested_configuration_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(ValueError, match=r"deep\.yaml"):
        read_config(tmp_path / "deep.yaml", [])
    (tmp_path / "good.yaml").write_text("dataset: {name: a, path: b}\nreference: {name: c, path: d}\n")
    with pytest.raises(ValueError, match="splitting"):
        read_config(tmp_path / "good.yaml", ["splitting.keep=" + "{" * 5000])


def test_a_database_path_that_duckdb_cannot_use_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a?b").mkdir()
    with (
        pytest.raises(ValueError, match=r"a\?b/o.duckdb has a question mark"),
        turn(str(tmp_path / "a?b" / "o.duckdb")),
    ):
        pass
    assert not [file for file in (tmp_path / "a?b").iterdir() if file.suffix == ".wal"]
    (tmp_path / "a?b" / "o.duckdb").touch()
    with pytest.raises(ValueError, match="has a question mark"), reading(str(tmp_path / "a?b" / "o.duckdb")):
        pass


def test_a_file_whose_name_is_not_utf8_costs_itself_only(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(GOOD)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.jsonl")).write_text(GOOD)
    files, ignored = list_files(str(tmp_path))
    assert [Path(file.path).name for file in files] == ["good.jsonl"]
    assert ["b\ufffd.jsonl (its name is not UTF-8)" in name for name in ignored] == [True]


SPLITS = ["", "{", "[]", "{}", '{"splits": 3}', '{"splits": [1]}', '{"splits": ["../other"]}']


@pytest.mark.parametrize("text", SPLITS)
def test_a_damaged_list_of_splits_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset_dict.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset_dict\.json: does not list the splits of the folder; write it again"):
        list_files(str(tmp_path))


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user_name() == f"user {os.getuid()}"
