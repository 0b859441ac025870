"""The pipeline as a call from Python, without Prefect: `oresight.score` and `oresight.curate` on rows in memory.

The rows are written to a file beside the database, the steps of `Pipeline` read it as they read any file, and their
results are joined back to the caller's rows by position.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from transformers.utils import logging as transformers_logging

from oresight.flows.api.results import Curated, Scored, read_results
from oresight.flows.api.rows import GivenRows, given_rows
from oresight.flows.pipeline import Pipeline
from oresight.tasks.config import Curate
from oresight.tasks.configfile import validated
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Refused, recorded

ARGUMENTS = {"dataset": "rows", "reference": "trusted"}
"""The argument that holds the rows of a section of the configuration."""
COLUMNS = re.compile(r"(dataset|reference)\.columns(?:: (\{[^{}]*\}))?")
TRUST = re.compile(r"`oresight trust CONFIG\.yaml` (makes some|lets you make trusted rows from rows of the dataset)")
"""Advice that needs a configuration file, which a caller does not have."""


def run(rows: Any, trusted: Any, sections: dict[str, Any], *, is_split: bool) -> Scored:
    """Score and flag rows, and split them if `is_split`. `oresight.score` and `oresight.curate` describe the arguments.

    sections: the sections of the configuration, and database, columns and folder. None stands for the default.
    """
    given = {
        role: given_rows(value, ARGUMENTS[role])
        for role, value in (("dataset", rows), ("reference", trusted))
        if not isinstance(value, str | Path) and (value is not None or role == "dataset")
    }
    sections = {name: value for name, value in sections.items() if value is not None}
    if not is_split and (wrong := sections.keys() & {"splitting", "publishing", "folder"}):
        raise ValueError(f"{min(wrong)}: score makes no split; leave it out, or call oresight.curate")
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="oresight-"))
        config = configuration({"dataset": rows, "reference": trusted}, given, sections, scratch)
        files = {role: getattr(config, role).path for role in given}
        stack.enter_context(_settings_restored())
        stack.enter_context(_in_words_of_python(files))
        current = stack.enter_context(recorded(config, "curate" if is_split else "score"))
        reasons = {role: value.write(Path(files[role])) for role, value in given.items()}
        pipeline = Pipeline(current)
        read = pipeline.read()
        if "dataset" in given and read.rows + read.rejected + read.duplicates > len(given["dataset"].index):
            raise ValueError("rows[0]: holds all rows in one dict; give the list of rows that is in it")
        refusals = _refusals(pipeline.inspect)
        pipeline.plant()
        pipeline.score()
        refusals += _refusals(pipeline.judge)
        more: dict[str, Any] = {"database": None if _is_in(scratch, config.database) else config.database}
        if is_split:
            pipeline.split()
            more["folder"] = None
        if is_split and not _is_in(scratch, config.publishing.folder):
            pipeline.report()
            if refusals:
                raise refusals[0]
            more["folder"] = pipeline.publish().folder
        more["refused"] = _translated(str(refusals[0]), files) if refusals else None
        in_words = partial(_translated, files=files)
        fields = read_results(current, given.get("dataset"), reasons.get("dataset", {}), in_words, is_split=is_split)
    return (Curated if is_split else Scored)(**fields, **more)


def configuration(
    paths: Mapping[str, Any], given: Mapping[str, GivenRows], sections: Mapping[str, Any], scratch: str
) -> Curate:
    """The configuration of the call. Raises ValueError as the command line does for a wrong key or value.

    paths: by role the argument that holds the rows. scratch: the folder of what is not kept.
    """
    tree = dict(sections)
    columns, folder = tree.pop("columns", None), tree.pop("folder", None)
    publishing = tree.get("publishing", {})
    if isinstance(publishing, Mapping):
        publishing = {**publishing, **({"folder": str(folder)} if folder else {})}
        if publishing and "folder" not in publishing:
            raise ValueError("publishing: nothing is published without a folder; give folder, or leave this out")
        folder = publishing.get("folder")
        tree["publishing"] = {"folder": scratch, **publishing}
    tree["database"] = database = str(tree.get("database", f"{folder or scratch}/oresight.duckdb"))
    if isinstance(tree.get("model"), str | Path):
        tree["model"] = {"name": str(tree["model"])}
    for role, argument in ARGUMENTS.items():
        section = tree.get(role, {})
        if role in tree and paths[role] is None:
            raise ValueError(f"{role}: describes rows that are not there; give them as {argument}")
        if paths[role] is None or not isinstance(section, Mapping):
            continue
        if "path" in section:
            raise ValueError(f"{role}.path: the argument {argument} says which rows; leave it out")
        in_memory = {"path": f"{database}.given/{section.get('name', argument)}.jsonl", "root": str(Path.cwd())}
        default = in_memory if role in given else {"path": str(paths[role])}
        tree[role] = {"name": argument, **default, **section}
    if columns is not None and isinstance(tree["dataset"], Mapping):
        tree["dataset"] = {**tree["dataset"], "columns": columns}
    config = validated(tree)
    if columns is not None and config.reference and not config.reference.columns.given:
        first = next(given["reference"].records()).keys() if "reference" in given else None
        if first is None or set(config.dataset.columns.names) <= set(map(str, first)):
            config.reference.columns = config.dataset.columns
    return config


def _is_in(folder: str, path: str) -> bool:
    return Path(path).is_relative_to(folder)


def _refusals(step: Callable[[], Any]) -> list[Refused]:
    """Run the checks of a stage. Returns the refusal if a critical check failed; its flags are stored."""
    try:
        step()
    except Refused as refused:
        return [refused]
    return []


@contextmanager
def _settings_restored() -> Iterator[None]:
    """Give the caller's process its settings of transformers back, which are changed when a model is loaded."""
    logger = logging.getLogger("transformers")
    level, has_bars = logger.level, transformers_logging.is_progress_bar_enabled()
    try:
        yield
    finally:
        logger.setLevel(level)
        if has_bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _in_words_of_python(files: Mapping[str, str]) -> Iterator[None]:
    """Let log lines and errors name the caller's arguments instead of files and settings. files: paths by role."""

    def translate(record: logging.LogRecord) -> bool:
        record.msg, record.args = _translated(record.getMessage(), files), ()
        return True

    logger = log()
    logger.addFilter(translate)
    try:
        yield
    except (ValueError, Refused) as error:
        error.args = (_translated(str(error), files), *error.args[1:])
        raise
    finally:
        logger.removeFilter(translate)


def _translated(text: str, files: Mapping[str, str]) -> str:
    for role, path in files.items():
        argument = ARGUMENTS[role]
        text = text.replace(f"{role}.path: {path}: ", f"{argument}: ")
        text = re.sub(rf"{re.escape(path)}, line (\d+)", lambda line: f"{argument}[{int(line[1]) - 1}]", text)  # noqa: B023
        text = text.replace(path, argument)
    return TRUST.sub("give some as trusted", COLUMNS.sub(_as_argument, text))


def _as_argument(setting: re.Match[str]) -> str:
    """The setting `columns` of a section, as the argument of the call that gives it."""
    role, value = setting[1], setting[2]
    names = yaml.safe_load(value) if value else None
    text = f"={names!r}".replace("'", '"') if isinstance(names, dict) else ""
    return f"columns{text}" if role == "dataset" else f'reference={{"columns"{text.replace("=", ": ", 1)}}}'
