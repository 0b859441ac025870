"""Runs every sql/checks/STAGE/*.sql as a Great Expectations expectation. The only `import great_expectations`.

The SQL of a check runs once, into a table of bad rows in memory. Great Expectations counts these, and they are the
flags, because it returns at most a sample of rows, slowly. Checks can read the database, but no files.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from oresight.tasks.database import SQL, Connection, DatabaseError, execute, let, transaction, writing
from oresight.tasks.detection.arithmetic import wrong_equation
from oresight.tasks.detection.language import other_language
from oresight.tasks.detection.personal import personal_number
from oresight.tasks.pages.checks import PAGE, examples, write_checks
from oresight.tasks.pages.texts import short_id
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Refused, Run
from oresight.tasks.runs.stopping import stoppable
from oresight.tasks.scope import NO_ROWS, stored_datasets
from oresight.tasks.sqlfile import Check, Severity, must_select, own_checks, read_check

CHECKS = SQL / "checks"
CHECK_S = 3600.0
"""Seconds after which a check of the user's is stopped: a join without a condition may take years."""
FROM_BATCH = "/* {batch} */"
"""Great Expectations warns about a query that does not read its batch."""
FUNCTIONS: tuple[Callable[..., str | None], ...] = (other_language, personal_number, wrong_equation)
"""Functions that checks can call. They are slow, so checks call them in a CASE, for few rows. DuckDB may evaluate the
conditions of a WHERE in any order."""


@dataclass(frozen=True)
class Checked:
    """The result of a check. Its bad rows are flagged even if the check passes, within its tolerance."""

    name: str
    severity: Severity
    success: bool
    rows_failed: int
    rows_tested: int
    seconds: float


def check(run: Run, stage: Literal["raw", "score"], folder: Path = CHECKS) -> list[Checked]:
    """Run the checks of a stage over the dataset. Flags and results of this stage are replaced in one transaction.

    Checks that need trusted rows are left out if there are none.

    Raises Refused if a critical check failed, after everything is recorded; RuntimeError if the SQL of a check failed,
    and then nothing is recorded; ValueError for a dataset that is not in the database or an invalid check file.
    """
    config, flagging = run.config, run.config.flagging
    checks = [read_check(file) for file in sorted((folder / stage).glob("*.sql"))]
    checks += own_checks(flagging, stage, {file.stem for file in folder.glob("*/*.sql")})
    _bad_rows()  # imported before the database is opened: it takes seconds
    names = {"run_id": run.run_id, "dataset": config.dataset.name, "stage": stage}
    with writing(config.database, guarded=True) as connection:
        for function in FUNCTIONS:
            connection.create_function(function.__name__, function, null_handling="special")  # type: ignore[call-overload]
        variables = _variables(connection, run, stage)
        if variables["reference_hash"] == NO_ROWS:
            checks = [check_file for check_file in checks if not check_file.needs_trusted]
        for check_file in checks:
            must_select(connection, check_file)
            if taken := sorted(variables.keys() & check_file.parameters.keys()):
                raise ValueError(
                    f"{check_file.file}: parameter {taken[0]!r}: a built-in variable has this name; rename it"
                )
        variables |= {name: value for check_file in checks for name, value in check_file.parameters.items()}
        let(connection, **variables)
        execute(connection, "check_bad_rows")
        checked, suite, results = _validate(connection, stage, checks, variables)
        with transaction(connection):
            execute(connection, "check_forget_flags", names)
            execute(connection, "check_forget_results", names)
            execute(connection, "check_forget_suite", names)
            execute(connection, "check_flag", {"run_id": run.run_id})
            for check_file, result in zip(checks, checked, strict=True):
                _record(connection, check_file, result, names)
            execute(connection, "check_suite", names | {"suite": json.dumps(suite), "result": json.dumps(results)})
        folder = Path(config.publishing.folder) / config.splitting.name
        write_checks(connection, folder / PAGE, names["dataset"], config.splitting.name)
        refusal = _refusal(connection, checked, names)
    failed = ", ".join(
        f"{result.name} ({result.severity}, {result.rows_failed:,} rows)" for result in checked if not result.success
    )
    log().info("check: %d checks (%s) on %s; failed: %s", len(checked), stage, names["dataset"], failed or "none")
    if refusal:
        raise Refused(refusal)
    return checked


def _variables(connection: Connection, run: Run, stage: str) -> dict[str, Any]:
    """The variables that a check can read with getvariable. Raises ValueError if a dataset is not in the database.

    Checks are the only SQL that reads variables, because Great Expectations runs their text without parameters.
    """
    config, rate = run.config, {"false_discovery_rate": run.config.flagging.false_discovery_rate}
    if stage == "score":
        return run.scope(connection).parameters | rate
    dataset, reference = config.dataset.name, config.reference_name
    stored = stored_datasets(connection, config.database, dataset, reference)
    names = {"dataset": dataset, "reference": reference, "reference_hash": stored[reference].content_hash}
    return names | {"model_key": None} | rate


@cache
def _bad_rows() -> Any:
    """The expectation behind every check. Defined late, because importing Great Expectations takes 2 to 8 seconds."""
    from great_expectations.expectations import UnexpectedRowsExpectation

    class BadRows(UnexpectedRowsExpectation):  # type: ignore[misc]
        """The query returns at most a tolerated share of the rows."""

        rows_tested: int
        tolerated: float
        metric_dependencies = ("unexpected_rows_query.row_count",)  # not the rows: that would run the query twice

        def _validate(self, metrics: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            failed = metrics["unexpected_rows_query.row_count"]
            return {"success": failed <= self.tolerated * self.rows_tested, "result": {"observed_value": failed}}

    return BadRows


def _validate(
    connection: Connection, stage: str, checks: list[Check], variables: dict[str, Any]
) -> tuple[list[Checked], dict[str, Any], list[dict[str, Any]]]:
    """Validate each check; returns its result, the suite and the validation results.

    The query of an expectation counts the bad rows in memory, and `meta` has the SQL of the check. Raises as
    `Check.crashed` says.
    """
    import great_expectations as gx

    (tested,) = execute(connection, "check_tested", {"dataset": variables["dataset"]}).fetchone() or (0,)
    suite = gx.ExpectationSuite(stage, meta={"variables": variables})
    checked, results = list[Checked](), list[dict[str, Any]]()
    with _batch(connection) as batch, progress(f"check {stage}", len(checks), "checks") as advance:
        for check_file in checks:
            started = time.monotonic()
            _select_bad_rows(connection, check_file)
            name = check_file.name.replace("'", "''")
            expectation = _bad_rows()(
                unexpected_rows_query=f"{FROM_BATCH} FROM memory.main.bad_rows WHERE check_name = '{name}'",
                rows_tested=tested,
                tolerated=check_file.tolerate,
                severity=check_file.severity,
                description=check_file.why,
                meta={"check": check_file.name, "sql": check_file.sql},
            )
            suite.add_expectation(expectation)
            result = batch.validate(expectation, result_format="BASIC")
            if crash := _crash(result.exception_info):
                raise check_file.crashed(crash)
            checked.append(
                Checked(
                    name=check_file.name,
                    severity=check_file.severity,
                    success=bool(result.success),
                    rows_failed=result.result["observed_value"],
                    rows_tested=tested,
                    seconds=time.monotonic() - started,
                )
            )
            results.append(result.to_json_dict())
            advance(1)
    return checked, suite.to_json_dict(), results


@contextlib.contextmanager
def _batch(connection: Connection) -> Iterator[Any]:
    """A batch for Great Expectations, read through a cursor of our connection.

    The batch itself is a single row that no check reads, because each check selects its rows itself. An open cursor
    would keep the database file locked after the connection is closed.
    """
    import great_expectations as gx
    from duckdb_sqlalchemy import ConnectionWrapper

    with contextlib.closing(connection.cursor()) as cursor:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        engine = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True, "pool_reset_on_return": None}
        source = context.data_sources.add_sql(
            "oresight",
            connection_string="duckdb:///:memory:",
            create_temp_table=True,
            kwargs=engine | {"creator": lambda: ConnectionWrapper(cursor)},
        )
        asset = source.add_query_asset("one_row", query="SELECT 1 AS one")
        yield asset.add_batch_definition_whole_table("all").get_batch()


def _crash(exception_info: dict[str, Any]) -> str | None:
    """The first line of the exception, or None. A crash must be told from bad rows: both give success = false."""
    parts = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    return next((str(part["exception_message"]).splitlines()[0] for part in parts if part["raised_exception"]), None)


def _select_bad_rows(connection: Connection, check_file: Check) -> None:
    """Run the SQL of a check. Raises as `Check.crashed` says, for a check of the user's also if it takes too long."""
    keys = {"check_name": check_file.name, "severity": check_file.severity, "check_sql": check_file.sql}
    started = time.monotonic()
    try:
        with stoppable(connection, CHECK_S) if check_file.file else contextlib.nullcontext():
            execute(connection, "check_select", keys)
    except DatabaseError as error:
        is_too_long = check_file.file and time.monotonic() - started >= CHECK_S
        too_long = f"it did not end within {CHECK_S / 60:.0f} minutes"
        raise check_file.crashed(too_long if is_too_long else str(error).splitlines()[0]) from error
    if check_file.file:
        unknown, example = execute(connection, "check_unknown", {"check_name": check_file.name}).fetchone() or (0, "")
        if unknown:
            raise check_file.crashed(f"it returns {unknown} rows that are not in the database, for instance {example}")


def _record(connection: Connection, check_file: Check, result: Checked, run: dict[str, str]) -> None:
    """Write the result of a check."""
    keys = {"check_name": check_file.name, "severity": check_file.severity}
    figures = {
        key: value for key, value in asdict(result).items() if key.startswith("rows_") or key in ("success", "seconds")
    }
    execute(connection, "check_result", run | keys | figures | {"why": check_file.why})


def _refusal(connection: Connection, checked: list[Checked], run: dict[str, str]) -> str | None:
    """A sentence about the critical checks that failed; None if none failed."""
    failed = [result for result in checked if result.severity == "critical" and not result.success]
    if not failed:
        return None
    counts = " and ".join(f"{result.name} ({result.rows_failed:,} of {result.rows_tested:,} rows)" for result in failed)
    first = examples(connection, run["run_id"], run["dataset"], failed[0].name)[0]
    return f"{run['dataset']} failed {counts}; row {short_id(first['sample_id'])}, for instance: {first['reason']}"
