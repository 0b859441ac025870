"""Every sql/checks/STAGE/*.sql as a Great Expectations expectation. The only `import great_expectations`.

Great Expectations counts the bad rows, hands out at most a sample of them, and is slow at that: so the same SQL also
fills `flags`, and both counts must agree. Checks reach the database, but no file.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from oresight.tasks.config import Curate
from oresight.tasks.database import CATALOG, SQL, Connection, DatabaseError, execute, let, records, transaction, writing
from oresight.tasks.pages.html import write_page
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Refused, Run
from oresight.tasks.scope import stored_datasets
from oresight.tasks.sqlfile import Check, Severity, must_select, own_checks, read_check

CHECKS = SQL / "checks"


@dataclass(frozen=True)
class Checked:
    """What a check found. A bad row is flagged whether or not its check as a whole passes."""

    name: str
    severity: Severity
    success: bool
    rows_failed: int
    rows_tested: int
    seconds: float


def check(run: Run, stage: Literal["raw", "score"], folder: Path = CHECKS) -> list[Checked]:
    """Run the checks of a stage over the dataset. Its flags from this stage are replaced, together with the results.

    Raises Refused, after all of it is recorded, if a critical check failed; RuntimeError if a check itself crashed, and
    then nothing is recorded; ValueError for a dataset that is not there or a check file that is not one.
    """
    config, flagging = run.config, run.config.flagging
    checks = [read_check(file) for file in sorted((folder / stage).glob("*.sql"))]
    checks += own_checks(flagging, stage, {file.stem for file in folder.glob("*/*.sql")})
    _bad_rows()  # imported before the database is opened: it takes seconds
    names = {"run_id": run.run_id, "dataset": config.dataset.name, "stage": stage}
    with writing(config.database, guarded=True) as connection:
        variables = _variables(connection, run, stage)
        for one in checks:
            must_select(connection, one)
            if taken := sorted(variables.keys() & one.parameters.keys()):
                raise ValueError(f"{one.file}: the parameter {taken[0]!r} has that name already; give it another")
        variables |= {name: value for one in checks for name, value in one.parameters.items()}
        found, suite, results = _validated(connection, stage, checks, variables)
        with transaction(connection):
            execute(connection, "check_forget_flags", names)
            execute(connection, "check_forget_results", names)
            execute(connection, "check_forget_suite", names)
            found = [_recorded(connection, one, result, names) for one, result in zip(checks, found, strict=True)]
            execute(connection, "check_suite", names | {"suite": json.dumps(suite), "result": json.dumps(results)})
        _write_page(connection, page_of(config), run.run_id)
        refusal = _refusal(connection, found, names)
    failed = ", ".join(
        f"{result.name} ({result.severity}, {result.rows_failed:,} rows)" for result in found if not result.success
    )
    log().info("check: %d checks (%s) on %s; failed: %s", len(found), stage, names["dataset"], failed or "none")
    if refusal:
        raise Refused(refusal)
    return found


def page_of(config: Curate) -> Path:
    """Where the page of checks is written."""
    return Path(config.publishing.folder) / config.splitting.name / "checks.html"


def _variables(connection: Connection, run: Run, stage: str) -> dict[str, Any]:
    """What a check may read with getvariable. Raises ValueError if the dataset or the reference is not there.

    Checks are the only SQL that reads variables: Great Expectations runs their text, and passes no parameters.
    """
    config, rate = run.config, {"false_discovery_rate": run.config.flagging.false_discovery_rate}
    if stage == "score":
        return run.scope(connection).parameters | rate
    dataset, reference = config.dataset.name, config.reference.name
    stored = stored_datasets(connection, config.database, dataset, reference)
    names = {"dataset": dataset, "reference": reference, "reference_hash": stored[reference].content_hash}
    return names | {"model_key": None} | rate


@cache
def _bad_rows() -> Any:
    """The expectation behind every check. Made late, because importing Great Expectations takes 2 to 8 seconds."""
    from great_expectations.expectations import UnexpectedRowsExpectation

    class BadRows(UnexpectedRowsExpectation):  # type: ignore[misc]
        """At most a tolerated share of the rows are returned by the query."""

        rows_tested: int
        tolerated: float
        metric_dependencies = ("unexpected_rows_query.row_count",)  # not the rows: that would run the query twice

        def _validate(self, metrics: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            failed = metrics["unexpected_rows_query.row_count"]
            return {"success": failed <= self.tolerated * self.rows_tested, "result": {"observed_value": failed}}

    return BadRows


def _validated(
    connection: Connection, stage: str, checks: list[Check], variables: dict[str, Any]
) -> tuple[list[Checked], dict[str, Any], list[dict[str, Any]]]:
    """What Great Expectations says of each check, the suite and its results. Raises RuntimeError if a check crashed."""
    import great_expectations as gx

    (tested,) = execute(connection, "check_tested", {"dataset": variables["dataset"]}).fetchone() or (0,)
    suite = gx.ExpectationSuite(stage, meta={"variables": variables})
    found, results = list[Checked](), list[dict[str, Any]]()
    with _batch(connection, variables) as batch, progress(f"check {stage}", len(checks)) as advance:
        for one in checks:
            started = time.monotonic()
            expectation = _bad_rows()(
                unexpected_rows_query=_for_expectation(one.sql),
                rows_tested=tested,
                tolerated=one.tolerate,
                severity=one.severity,
                description=one.why,
                meta={"check": one.name},
            )
            suite.add_expectation(expectation)
            result = batch.validate(expectation, result_format="BASIC")
            if crash := _crash(result.exception_info):
                raise one.crashed(crash)
            failed, seconds = result.result["observed_value"], time.monotonic() - started
            found.append(Checked(one.name, one.severity, bool(result.success), failed, tested, seconds))
            results.append(result.to_json_dict())
            advance(1)
    return found, suite.to_json_dict(), results


@contextlib.contextmanager
def _batch(connection: Connection, variables: dict[str, Any]) -> Iterator[Any]:
    """A batch that Great Expectations reads through a cursor of ours, on which the variables are set too.

    The batch itself is one row that no check looks at: the checks say themselves which rows they mean. A cursor left
    open would keep the database file locked after we close it.
    """
    import great_expectations as gx
    from duckdb_sqlalchemy import ConnectionWrapper

    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(f"USE {CATALOG}")
        for handle in (connection, cursor):
            let(handle, **variables)
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


def _for_expectation(sql: str) -> str:
    """SQL as Great Expectations must be given it: braces are its placeholders, `:word` is SQLAlchemy's.

    It prints a complaint about a query without {batch}, hence the comment.
    """
    doubled = sql.replace("{", "{{").replace("}", "}}")
    return "/* {batch} */ " + re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", doubled)


def _crash(exception_info: dict[str, Any]) -> str | None:
    """The first line of what went wrong; None if nothing did. A crash and a finding both say success: false."""
    parts = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    return next((str(part["exception_message"]).splitlines()[0] for part in parts if part["raised_exception"]), None)


def _recorded(connection: Connection, one: Check, result: Checked, run: dict[str, str]) -> Checked:
    """Flag the bad rows and write the result down. Raises RuntimeError if they are not as many as were counted."""
    started = time.monotonic()
    named = {"check_name": one.name, "severity": one.severity}
    let(connection, check_sql=one.sql)
    try:
        (flagged,) = execute(connection, "check_flag", named | {"run_id": run["run_id"]}).fetchone() or (0,)
    except DatabaseError as error:
        raise one.crashed(str(error).splitlines()[0]) from error
    if flagged != result.rows_failed:
        raise RuntimeError(f"check {one.name} counted {result.rows_failed} bad rows and then returned {flagged}")
    result = replace(result, seconds=result.seconds + time.monotonic() - started)
    figures = {
        key: value for key, value in asdict(result).items() if key.startswith("rows_") or key in ("success", "seconds")
    }
    execute(connection, "check_result", run | named | figures | {"why": one.why})
    return result


def _refusal(connection: Connection, found: list[Checked], run: dict[str, str]) -> str | None:
    """One sentence on the critical checks that failed."""
    failed = [result for result in found if result.severity == "critical" and not result.success]
    if not failed:
        return None
    counts = " and ".join(f"{result.name} ({result.rows_failed:,} of {result.rows_tested:,} rows)" for result in failed)
    first = _examples(connection, run["run_id"], run["dataset"], failed[0].name)[0]
    return f"{run['dataset']} failed {counts}; row {first['sample_id'][:12]}, for instance: {first['reason']}"


def _examples(connection: Connection, run_id: str, dataset: str, name: str) -> list[dict[str, Any]]:
    values = {"run_id": run_id, "dataset": dataset, "check_name": name}
    return records(connection, "check_examples", values)


def _write_page(connection: Connection, page: Path, run_id: str) -> None:
    """Every check of the run so far as HTML that needs nothing from outside; what rows say is escaped."""
    checks = records(connection, "check_page", {"run_id": run_id})
    for row in checks:
        row["examples"] = _examples(connection, run_id, row["dataset"], row["check_name"]) if row["rows_failed"] else []
    write_page(page, "check_page.html", run_id=run_id, checks=checks)
