"""The rules of the house that a machine can keep."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import oresight.tasks
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import SQL, reading, turn
from oresight.tasks.runs.record import Run

ROOT = Path(__file__).parents[1]
CODE = sorted([*(ROOT / "flows").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")])
FOUNDATIONS = {
    "clusterconfig",
    "columns",
    "config",
    "configfile",
    "connection",
    "database",
    "draft",
    "modelconfig",
    "paths",
    "scope",
    "section",
    "sqlfile",
    "trusted",
}
"""Files of tasks/ that are no step of the pipeline."""
VERBS = {file.stem for file in (ROOT / "tasks").glob("*.py")} - FOUNDATIONS - {"__init__"}
# Who may import whom, one rule a folder: what each may import below oresight.tasks, beside itself.
MAY_IMPORT = {
    "flows": {""},
    "tasks/runs": {"config", "database", "scope"},
    "tasks/formats": {"config", "scoring.picture"},
    "tasks/scoring": set[str](),
    "tasks/workload": {"config", "database", "runs", "scope", "scoring"},
    "tasks/arrays": {"database", "detection", "matching"},
    "tasks/detection": set[str](),
    "tasks/matching": set[str](),
    "tasks/pages": {"database", "scope", "scoring.picture"},
    "tasks/reviewing": {"database", "runs", "scope", "pages"},
    "tasks/publishing": {"config", "database", "runs", "evaluation.measure", "scoring.picture"},
    "tasks/evaluation": {
        "config",
        "database",
        "runs",
        "scope",
        "scoring",
        "workload",
        "detection",
        "matching",
        "pages",
    },
    "tasks": {*FOUNDATIONS, "runs", "formats", "scoring", "workload", "detection", "matching", "pages", "publishing"}
    | {"reviewing", "arrays"},
}
ONE_HOME = {
    "ray": "tasks/workload/cluster.py",
    "duckdb": "tasks/connection.py",
    "great_expectations": "tasks/check.py",
    "duckdb_sqlalchemy": "tasks/check.py",
}
BARE_WORDS = {
    "found", "told", "place", "one", "known", "wanted", "asked", "begun", "together", "whole", "only", "enough"
}  # fmt: skip
"""Words that say nothing of the thing that they name."""
SQL_IN_PYTHON = re.compile(r"^\s*(select\s.+\sfrom|insert\s+into|delete\s+from|update\s.+\sset)\s", re.I | re.S)


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", CODE, ids=place)
def test_a_file_imports_only_what_its_folder_may(file: Path) -> None:
    home = next(key for key in MAY_IMPORT if place(file).startswith(key + "/"))
    ours = {name for name in imports(file) if name.split(".")[0] in ("oresight", "flows", "tasks")}
    own = f"oresight.{home.replace('/', '.')}." if home != "tasks" else ""
    allowed = {f"oresight.tasks.{name}".rstrip(".") + "." for name in MAY_IMPORT[home]}
    allowed |= {own} if own else set()
    allowed |= {"oresight.flows."} if home == "flows" else set()
    assert not {name for name in ours if not any(f"{name}.".startswith(may) for may in allowed)}
    for library, only_file in ONE_HOME.items():
        if place(file) != only_file:
            assert library not in {name.split(".")[0] for name in imports(file)}, f"{library} belongs in {only_file}"
    if home == "tasks/scoring":
        assert not {"prefect", "pandas", "yaml"} & {name.split(".")[0] for name in imports(file)}


def test_every_step_has_the_name_of_its_file_and_takes_a_run() -> None:
    for verb in VERBS - {"review", "forget"}:  # a verdict and an erasure are no part of a run
        step = inspect.signature(getattr(import_module(f"oresight.tasks.{verb}"), verb))
        assert next(iter(step.parameters.values())).annotation is Run, verb


@pytest.mark.parametrize("file", CODE, ids=place)
def test_names_say_what_they_name(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = set[str]()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    tables = {call.args[0].value for call in calls if call.func.attr == "register" and len(call.args) == 2}  # type: ignore[attr-defined]
    assert not {name for name in names | tables if name.lower().strip("_") in BARE_WORDS}
    views = set(re.findall(r"VIEW (\w+)", "".join(view.read_text() for view in (SQL / "views").glob("*.sql"))))
    assert not tables & views, "no table of ours hides a public view"


@pytest.mark.parametrize("file", CODE, ids=place)
def test_functions_and_calls_are_short(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} has a second half: name it"
        if isinstance(node, ast.Call) and not ast.unparse(node.func).startswith("log()."):
            assert len(node.args) <= 5, f"line {node.lineno}: name the arguments of {ast.unparse(node.func)}"


@pytest.mark.parametrize("file", CODE, ids=place)
def test_sql_lives_in_sql_files(file: Path) -> None:
    strings = [
        n.value
        for n in ast.walk(ast.parse(file.read_text()))
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
    kept = {"INSERT INTO store.migrations VALUES (?, now())", "SELECT migration FROM store.migrations"}
    assert not [text for text in strings if SQL_IN_PYTHON.match(text) and text not in kept]


@pytest.mark.parametrize("file", CODE, ids=place)
def test_no_file_is_past_300_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300, "it has a second half: name it"


def test_the_map_names_every_file_of_tasks() -> None:
    told = re.findall(r"^([a-z_]+(?:\.py|/))", oresight.tasks.__doc__ or "", re.M)
    there = {f.name for f in (ROOT / "tasks").glob("*.py")} - {"__init__.py"}
    there |= {f"{f.name}/" for f in (ROOT / "tasks").iterdir() if f.is_dir() and f.name != "__pycache__"}
    assert sorted(told) == sorted(there)


def test_every_query_file_is_used() -> None:
    text = "\n".join(file.read_text() for file in CODE)
    assert [file.stem for file in (SQL / "queries").glob("*.sql") if f'"{file.stem}"' not in text] == []


def test_every_view_and_macro_of_the_contract_answers_on_an_empty_database(tmp_path: Path) -> None:
    database = str(tmp_path / "empty.duckdb")
    contract = {
        "datasets": "dataset role source layout kind rows rejected duplicates content_hash ingested_at",
        "rows": "sample_id dataset kind prompt answer messages images metadata source_file source_line",
        "rejects": "dataset source_file source_line reason raw",
        "scores": "sample_id dataset reference model value value_per_token value_cosine self_value nll worst_token"
        " conditional_gain local_value label_probe answer_tokens truncated scored_at run_id",
        "token_scores": "sample_id model reference position token value logprob",
        "checks": "run_id stage check_name severity success rows_failed seconds",
        "flags": "sample_id dataset check_name severity reason p_value q_value run_id",
        "canaries": "sample_id reference canary twin prompt answer images is_blank dataset model suspicion"
        " twin_suspicion",
        "suspicions": "sample_id dataset reference model suspicion p_value q_value looks_like signals label_probe"
        " agreement",
        "calibration": "dataset model reference stated measured standard_error recall clean_flagged",
        "verdicts": "sample_id dataset verdict answer record why who decided_at",
        "verdict_history": "sample_id dataset verdict answer why who decided_at",
        "flag_precision": "dataset check_name flagged reviewed confirmed precision low high",
        "detectability": "dataset model canary auc auc_low auc_high canaries",
        "splits": "split version rows_kept rows_dropped tokens_kept manifest_sha256 folder created_at run_id"
        " rows_flagged",
        "split_drift": "split version previous flagged flagged_moved kept kept_moved all_rows rows_moved created_at",
        "approvals": "split version decision who note decided_at deadline",
        "split_rows": "split version sample_id decision cause reason rank value matched_to round similarity",
        "coverage": "split version sample_id rows_kept nearest similarity is_starved twin twin_similarity floor prompt",
        "lineage": "child_kind child parent_kind parent run_id",
        "runs": "run_id flow state config version prefect_flow_run_id started_at finished_at rows_scored tokens_scored",
        "stale_scores": "sample_id dataset reference model why",
        "forgotten": "sample_id reason who forgotten_at",
        "stale_versions": "split version folder why",
        "models": "model_key model weights adapter template masking max_tokens scoring_version last_used_at why",
        "evaluations": "evaluation dataset model conditions setting method seed metric value run_id made_at",
        "evaluation_summary": "evaluation dataset model conditions setting method metric numbers mean deviation"
        " made_at",
        "comparisons": "evaluation dataset model conditions setting method against metric pairs difference low high"
        " test p p_holm",
        "fits": "run_id model reference reference_rows rank tokens residual deviation index_correlation index_pairs",
        "vectors": "sample_id dataset model vector state text_state",
        "images": "dataset path reason sha256 width height mode format size spread thumbnail",
    }
    with turn(database):
        pass
    with reading(database, guarded=True) as connection:
        for view, columns in contract.items():
            answer = connection.execute(f"FROM {view}")
            assert set(columns.split()) <= {column[0] for column in answer.description}, view
            assert answer.fetchall() == []
        for macro in (
            "worst_rows('a', 3)",
            "best_rows('a', 3)",
            "explain('a')",
            "split_diff('a', 1, 2)",
            "row_history('a')",
            "influences('a', 3)",
            "nearest_accepted('a', 3)",
            "value_against('a')",
        ):
            assert connection.execute(f"FROM {macro}").fetchall() == []


def test_the_makefile_has_the_targets_that_the_readme_names() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(
        re.findall(
            r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text(), re.M
        )
    )
    assert named and named <= targets


def test_the_documented_configuration_is_one_that_is_accepted(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        (tmp_path / "config.yaml").write_text(block)
        assert isinstance(read_config(tmp_path / "config.yaml", []), Curate)
