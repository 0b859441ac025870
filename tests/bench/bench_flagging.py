"""Time the steps after scoring: python tests/bench/bench_flagging.py [ROWS].

Rows, 200 trusted rows and 250 canaries with scores, index vectors and answers that repeat (so that the label probe is
fitted too) are made by SQL; then the step, the checks of scores and the report run as in the pipeline, and a headless
Chromium, if there is one, opens the report.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oresight.tasks.check import check
from oresight.tasks.config import Curate
from oresight.tasks.database import writing
from oresight.tasks.flag import flag
from oresight.tasks.report import report
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scope import ModelIdentity
from oresight.tasks.workload.clock import peak_memory

TRUSTED, CANARIES = 200, 250
FILL = """
INSERT INTO store.models VALUES ('k', 'm@k', 'w', NULL, 't', 'answers', 2048, 1, '{}', now(), now());
INSERT INTO store.datasets VALUES
    ('d', 'dataset', 'd.jsonl', 'alpaca', 'instruction', $ROWS, 0, 0, 'x', '[]', 's', now(), 'r'),
    ('t', 'reference', 't.jsonl', 'alpaca', 'instruction', $TRUSTED, 0, 0, 'y', '[]', 's', now(), 'r');
CREATE TEMP TABLE made AS
SELECT CASE WHEN i < $ROWS THEN 'd' WHEN i < $ROWS + $TRUSTED THEN 't' ELSE 'c' END AS dataset,
       md5(i::VARCHAR) AS sample_id, i, i >= $ROWS + $TRUSTED OR i < $ROWS / 5 AS bad,
       repeat('question ' || i || ' ', 10) AS prompt, 'answer ' || i % 20 AS answer
FROM range($ROWS + $TRUSTED + $CANARIES) AS r(i);
INSERT INTO store.rows BY NAME
SELECT dataset, sample_id, 'instruction' AS kind, prompt, answer, '[]' AS messages, '{}' AS metadata, '{}' AS record,
       dataset || '.jsonl' AS source_file, i + 1 AS source_line FROM made WHERE dataset != 'c';
INSERT INTO store.canaries BY NAME
SELECT 't' AS reference, 'y' AS reference_hash, sample_id, md5(($ROWS + i % $TRUSTED)::VARCHAR) AS twin,
       ['swapped_answer', 'another_label', 'truncated_answer', 'foreign_text', 'changed_number'][i % 5 + 1] AS canary,
       'instruction' AS kind, prompt, answer, '[]' AS messages, false AS is_blank, 'r' AS run_id
FROM made WHERE dataset = 'c';
INSERT INTO store.scores BY NAME
SELECT sample_id, 'k' AS model_key, 't' AS reference, 'y' AS reference_hash, random() AS value,
       random() AS value_per_token, random() AS value_cosine, random() AS self_value,
       random() * 3 + bad::INTEGER * 4 AS nll, -random() * 9 AS worst_token,
       random() - bad::INTEGER AS conditional_gain, 20 AS answer_tokens, 60 AS prompt_tokens, false AS truncated,
       ['a', 'b', 'c'] AS tokens,
       [0.1, 0.2, -0.3] AS token_values, [-1.0, -2.0, -3.0] AS token_logprobs, now() AS scored_at, 'r' AS run_id
FROM made;
INSERT INTO store.packed BY NAME
SELECT sample_id, 'k' AS model_key, [(random() * 254 - 127)::TINYINT FOR x IN range(256)] AS vector, 1e-4 AS unit,
       [(random() * 254 - 127)::TINYINT FOR x IN range(128)] AS state, 0.01 AS state_unit,
       [(random() * 254 - 127)::TINYINT FOR x IN range(128)] AS text_state, 0.01 AS text_unit
FROM made;
"""


@contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    peak = peak_memory() / 2**20
    sys.stdout.write(f"{time.perf_counter() - started:6.1f} s, {peak:6,.0f} MB at most so far  {what}\n")
    sys.stdout.flush()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        config = Curate.model_validate({
            "database": f"{folder}/o.duckdb", "publishing": {"folder": folder},
            "dataset": {"name": "d", "path": "d"}, "reference": {"name": "t", "path": "t"},
        })  # fmt: skip
        with recorded(config, "flag") as record:
            run = Run(config, record.run_id, ModelIdentity("k", "m@k"))
            with writing(config.database) as connection:
                text = FILL
                for name, number in (("$ROWS", rows), ("$TRUSTED", TRUSTED), ("$CANARIES", CANARIES)):
                    text = text.replace(name, str(number))
                connection.execute(text)
            sys.stdout.write(f"{peak_memory() / 2**20:,.0f} MB at most to make the rows\n")
            with timed(f"flag: {rows:,} rows judged"):
                flag(run)
            with timed("check: the checks of scores, flags written"):
                checks = check(run, "score")
            flagged = next(result.rows_failed for result in checks if result.name == "looks_mislabeled")
            with timed(f"report, with {flagged:,} rows flagged"):
                page = report(run).page
        sys.stdout.write(f"{page.stat().st_size / 1e6:.1f} MB of report\n")
        if chromium := shutil.which("chromium"):
            from playwright.sync_api import sync_playwright

            with sync_playwright() as playwright:
                tab = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
                with timed("the report is open in Chromium"):
                    tab.goto(page.as_uri())
                    tab.get_by_text("Flagged rows").first.bounding_box()


if __name__ == "__main__":
    main()
