"""How long each example of docs/sql.md and each named question takes at a million rows, and how large the file is.

python tests/bench/bench_sql.py [ROWS]. Rows, scores and vectors are made by SQL: GSM8K's rows (shared/data) with a
counter, all of them scored, in the index and decided about twice, against a reference of 200 rows. Per-token values are
kept for one row in a hundred.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

from oresight.tasks.database import Connection, let, reading, turn, writing
from oresight.tasks.sqlfile import named_question, question_library

N = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
ROOT = Path(__file__).parents[2]
RAW = ROOT.parent / "shared" / "data" / "gsm8k" / "train.jsonl"
FILL = f"""
CREATE TEMP TABLE source AS
SELECT row_number() OVER () - 1 AS place, instruction AS question, output AS answer, count(*) OVER () AS n FROM read_json('{RAW}');
CREATE TEMP TABLE made AS
SELECT i, 'easy' AS dataset, md5(i::VARCHAR) AS sample_id, question || ' (' || i || ')' AS prompt, answer
FROM range({N}) AS r(i) JOIN source ON place = i % n
UNION ALL SELECT i, 'trusted', md5('t' || i), question || ' (t' || i || ')', answer FROM range(200) AS r(i) JOIN source ON place = i;
INSERT INTO store.models BY NAME
SELECT key AS model_key, 'm@' || key AS model, key AS weights, 't' AS template, 'answers' AS masking, 2048 AS max_tokens,
       1 AS scoring_version, '{{}}' AS settings, now() AS first_used_at, now() - age * INTERVAL 1 DAY AS last_used_at
FROM (VALUES ('k', 0), ('old', 1)) AS t(key, age);
INSERT INTO store.datasets VALUES
    ('easy', 'dataset', 'd.jsonl', 'question/answer', 'instruction', {N}, 0, 0, 'x', '[{{"path": "d.jsonl", "sha256": "s"}}]', 's', now(), 'r'),
    ('trusted', 'reference', 't.jsonl', 'question/answer', 'instruction', 200, 0, 0, 'y', '[{{"path": "t.jsonl", "sha256": "s"}}]', 's', now(), 'r');
INSERT INTO store.rows BY NAME
SELECT dataset, sample_id, 'instruction' AS kind, prompt, answer,
       json_array(json_object('content', prompt, 'role', 'user'), json_object('content', answer, 'role', 'assistant'))::VARCHAR AS messages,
       '{{"category": "' || i % 8 || '"}}' AS metadata, json_object('question', prompt, 'answer', answer, 'category', i % 8)::VARCHAR AS record,
       dataset || '.jsonl' AS source_file, i + 1 AS source_line
FROM made;
INSERT INTO store.scores BY NAME
SELECT sample_id, 'k' AS model_key, 'trusted' AS reference, 'y' AS reference_hash, random() AS value, random() AS value_per_token,
       random() AS value_cosine, random() AS self_value, random() * 3 AS nll, -random() * 9 AS worst_token, random() AS conditional_gain,
       random() AS local_value, 20 + i % 100 AS answer_tokens, 60 AS prompt_tokens, i % 50 = 0 AS truncated,
       CASE WHEN i % 100 = 0 THEN ['a', 'b', 'c'] ELSE [] END AS tokens, CASE WHEN i % 100 = 0 THEN [0.1, 0.2, -0.3] ELSE [] END AS token_values,
       CASE WHEN i % 100 = 0 THEN [-1.0, -2.0, -3.0] ELSE [] END AS token_logprobs, now() AS scored_at, 'r' AS run_id
FROM made;
INSERT INTO store.packed
SELECT sample_id, 'k', [(random() * 254 - 127)::TINYINT FOR x IN range(256)], random(), [(random() * 254 - 127)::TINYINT FOR x IN range(128)], 1
FROM made;
INSERT INTO store.fits BY NAME
SELECT 'r' AS run_id, 'k' AS model_key, 'trusted' AS reference, 'y' AS reference_hash, 200 AS reference_rows, 64 AS rank, 512 AS tokens,
       0.1 AS residual, 1e-4 AS deviation, 0.99 AS index_correlation, 10000 AS index_pairs, 'float32' AS dtype, 'cpu' AS device, now() AS fitted_at;
INSERT INTO store.suspicions BY NAME
SELECT sample_id, 'easy' AS dataset, CASE dataset WHEN 'easy' THEN 'dataset' ELSE 'reference' END AS role, 'k' AS model_key,
       'trusted' AS reference, 'y' AS reference_hash, random() AS suspicion, random() AS p_value, random() AS q_value,
       'swapped_answer' AS looks_like, ['nll', 'value'] AS signals, 'r' AS run_id
FROM made;
INSERT INTO store.flags BY NAME
SELECT sample_id, dataset, 'looks_mislabeled' AS check_name, 'warning' AS severity, 'p 0.01' AS reason, random() AS p_value,
       random() AS q_value, 'r' AS run_id
FROM made WHERE i % 50 = 0 AND dataset = 'easy';
INSERT INTO store.splits BY NAME
SELECT 'curated' AS split, v AS version, 'easy' AS dataset, 'x' AS dataset_hash, 'trusted' AS reference, 'y' AS reference_hash,
       'k' AS model_key, 'h' AS decision_hash, {N} AS rows_kept, 0 AS rows_dropped, 0 AS tokens_kept, now() AS created_at, 'r' AS run_id,
       'out/curated/v' || v AS folder, 5 AS rows_flagged
FROM range(1, 3) AS t(v);
INSERT INTO store.split_rows BY NAME
SELECT 'curated' AS split, v AS version, sample_id, CASE WHEN (i + v) % 5 = 0 THEN 'drop' ELSE 'keep' END AS decision,
       CASE WHEN (i + v) % 5 = 0 THEN 'over budget: rank ' || i ELSE 'kept: rank ' || i END AS reason, i AS rank, random() AS value
FROM made, range(1, 3) AS t(v) WHERE dataset = 'easy';
INSERT INTO store.runs BY NAME
SELECT 'r' || i AS run_id, 'curate' AS flow, 'completed' AS state, '{{}}' AS config, '1' AS version, now() AS started_at, now() AS finished_at
FROM range(1000) AS r(i);
INSERT INTO store.verdicts BY NAME
SELECT sample_id, dataset, 'keep' AS verdict, 'fine' AS why, 'ada' AS who, now() AS decided_at FROM made WHERE i % 500 = 0;
"""  # noqa: E501  one statement a table
STALE = """
UPDATE store.datasets SET content_hash = 'z' WHERE dataset = 'trusted'
"""  # after which every score is stale: asked last


def clock(connection: Connection, name: str, question: str, n: int = 3) -> None:
    times = []
    for _ in range(n):
        started = time.perf_counter()
        rows = connection.execute(question).fetchall()
        times.append(time.perf_counter() - started)
    sys.stdout.write(f"first {times[0]:6.3f} s, best {min(times):6.3f} s, {len(rows):>4} rows  {name}\n")
    sys.stdout.flush()


def main() -> None:
    page = (ROOT / "docs" / "sql.md").read_text()
    examples = re.findall(r"^### (\w+)\n.*?```sql\n(.*?)```", page, re.M | re.S)
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "million.duckdb")
        started = time.perf_counter()
        with turn(database), writing(database) as connection:
            connection.execute(FILL)
            (raw,) = connection.execute("SELECT sum(strlen(record) + 1) FROM store.rows").fetchone() or (0,)
            connection.execute("CHECKPOINT")
        size = Path(database).stat().st_size
        sys.stdout.write(f"{N:,} rows, filled in {time.perf_counter() - started:.0f} s: raw {raw / 1e6:,.0f} MB,")
        sys.stdout.write(f" file {size / 1e6:,.0f} MB, {size / raw:.2f} times\n")
        with reading(database, guarded=True) as connection:
            for name, question in examples:
                clock(connection, name, question)
            for name in question_library():
                one = named_question(name)
                let(connection, **one.parameters)
                clock(connection, f"--named {name}", one.sql)
        with writing(database) as connection:
            connection.execute(STALE)
        with reading(database, guarded=True) as connection:
            for name, question in examples:
                if name.startswith("stale_"):
                    clock(connection, f"{name}, all stale", question)


if __name__ == "__main__":
    main()
