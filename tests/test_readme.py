"""The README is short, its commands work as they are written, and its recipes are configurations that are accepted."""

import json
import re
import shlex
from pathlib import Path

import pytest

from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading
from tests.support.processes import ROOT, oresight

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "".join(re.findall(r"```sh\n(.*?)```", README, re.S)).replace("\\\n", " ")
COMMANDS = [line.partition("  #")[0].strip() for line in BLOCKS.splitlines()]
DATA = ROOT / "tests" / "data"


def test_it_is_short_and_narrow() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    text = re.sub(r"```\n.*?```", "", README, flags=re.S)  # the diagram is wide
    assert not [line for line in text.splitlines() if len(line) > 100]


def test_its_commands_are_these() -> None:
    """`make demo` and `make test` are run in CI and by hand, `make serve` and the pages in tests of their own."""
    makes = [command for command in COMMANDS if command.startswith("make ")]
    assert makes == ["make demo", "make serve CONFIG=data/oresight.yaml", "make test"]
    names = [shlex.split(command)[1] for command in COMMANDS if command not in makes]
    assert names == ["init", "plan", "curate", "review", "sql", "sql", "explain"]


def test_its_commands_work_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, source, count in (("train", "dolly", 12), ("trusted", "trusted", 8)):
        lines = (DATA / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = sorted((json.loads(line) for line in lines), key=lambda row: len(row["output"]))[:count]
        (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    database = tmp_path / "data" / "oresight.duckdb"
    for command in COMMANDS:
        if command.startswith("make ") or " review " in command:
            continue
        words = shlex.split(command)[1:]
        if "SAMPLE_ID" in words:
            with reading(str(database)) as connection:
                (sample_id,) = connection.execute("SELECT min(sample_id) FROM rows WHERE dataset = 'train'").fetchall()[
                    0
                ]
            words[words.index("SAMPLE_ID")] = sample_id
        here = {"demo/oresight.duckdb": str(database), "FROM worst_rows('dolly', 5)": "FROM worst_rows('train', 5)"}
        words = [here.get(word, re.sub(r"^data/", f"{tmp_path}/data/", word)) for word in words]
        done = oresight(*words)
        assert done.returncode == 0 and done.stdout, (command, done.stderr)
    (published,) = (tmp_path / "data" / "out").glob("*/v1")
    assert (published / "train.parquet").is_file()


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_recipes_are_accepted_and_linked(file: Path) -> None:
    assert isinstance(read_config(file, []), Curate)
    assert f"docs/recipes/{file.name}" in README
    assert f"recipes/{file.name}" in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
