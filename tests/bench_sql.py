"""How long questions take at a million scored rows, of which 100,000 are in the index, and a reference of 100 rows.

python tests/bench_sql.py; rows, scores and vectors are made by SQL.
"""

import sys
import tempfile
import time
from pathlib import Path

from tasks.database import reading, turn, writing

N, INDEXED = 1_000_000, 100_000
FILL = f"""
INSERT INTO store.models VALUES ('k', 'm@k', 'w', NULL, 't', 'answers', 2048, 1, '{{}}', now(), now());
INSERT INTO store.datasets VALUES
    ('d', 'dataset', 'd.jsonl', 'alpaca', 'instruction', {N}, 0, 0, 'x', '[]', 's', now(), 'r'),
    ('t', 'reference', 't.jsonl', 'alpaca', 'instruction', 0, 0, 0, 'y', '[]', 's', now(), 'r');
INSERT INTO store.rows (dataset, sample_id, kind, prompt, answer, messages, tools, images, metadata, record,
    source_file, source_line, retired_at)
SELECT 'd', md5(i::VARCHAR), 'instruction', repeat('question ' || i || ' ', 10), repeat('answer ' || i || ' ', 10),
       '[]', NULL, NULL, '{{"category": "' || i % 8 || '"}}', '{{}}', 'd.jsonl', i, NULL FROM range({N}) AS r(i);
INSERT INTO store.scores
SELECT md5(i::VARCHAR), 'k', 't', 'y', random(), random(), random(), random(), random() * 3, -random() * 9,
       random(), NULL, 20, 60, i % 50 = 0, ['a', 'b', 'c'], [0.1, 0.2, -0.3], [-1.0, -2.0, -3.0],
       now(), 'r', NULL, NULL
FROM range({N}) AS r(i);
INSERT INTO store.rows (dataset, sample_id, kind, prompt, answer, messages, tools, images, metadata, record,
    source_file, source_line, retired_at)
SELECT 't', md5('t' || i), 'instruction', 'question', 'answer', '[]', NULL, NULL, '{{}}', '{{}}', 't.jsonl', i, NULL
FROM range(100) AS r(i);
INSERT INTO store.vectors
SELECT md5(i), 'k', [random()::FLOAT FOR x IN range(256)], [random()::FLOAT FOR x IN range(128)]
FROM (SELECT i::VARCHAR AS i FROM range({INDEXED}) AS r(i) UNION ALL SELECT 't' || i FROM range(100) AS r(i));
INSERT INTO store.flags
SELECT md5(i::VARCHAR), 'd', 'truncated', 'warning', 'cut', NULL, NULL, 'r', NULL FROM range(0, {N}, 50) AS r(i);
INSERT INTO store.split_rows
SELECT 's', 1, md5(i::VARCHAR), CASE WHEN i % 5 = 0 THEN 'drop' ELSE 'keep' END,
       'over budget: rank ' || i, i, random(), NULL
FROM range({N}) AS r(i);
"""
QUESTIONS = [
    "SELECT sample_id, value, prompt FROM worst_rows('d', 20)",
    "SELECT count(*) FROM rows WHERE dataset = 'd'",
    "SELECT dataset, count(*), avg(value), median(nll) FROM scores GROUP BY ALL",
    "SELECT metadata->>'category' AS c, avg(value) FROM scores JOIN rows USING (sample_id, dataset) GROUP BY ALL",
    "SELECT check_name, severity, count(*) FROM flags GROUP BY ALL",
    "SELECT split_part(reason, ':', 1) AS why, count(*) FROM split_rows WHERE decision = 'drop' GROUP BY ALL",
    "FROM explain(md5('77'))",
    "SELECT position, token, value FROM token_scores WHERE sample_id = md5('4242')",
    "SELECT corr(value, nll), corr(value, answer_tokens) FROM scores",
    "SELECT dataset, count(*), avg(value) FROM value_against('t') GROUP BY ALL",
    "SELECT sample_id, value FROM influences(md5('77'), 5)",
    "SELECT sample_id, cosine FROM nearest_accepted(md5('77'), 5)",
    "SELECT f.check_name, avg(s.value) FROM flags AS f JOIN scores AS s USING (sample_id, dataset) GROUP BY ALL",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "million.duckdb")
        with turn(database), writing(database) as connection:
            connection.execute(FILL)
        with reading(database, guarded=True) as connection:
            for question in QUESTIONS:
                times = []
                for _ in range(3):
                    started = time.perf_counter()
                    connection.execute(question).fetchall()
                    times.append(time.perf_counter() - started)
                sys.stdout.write(f"first {times[0]:5.2f} s, best {min(times):5.2f} s  {question}\n")


if __name__ == "__main__":
    main()
