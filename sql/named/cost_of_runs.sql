-- Rows, tokens and seconds of each run.
SELECT run_id, flow, state, started_at, date_diff('millisecond', started_at, finished_at) / 1000 AS seconds, rows_scored, tokens_scored,
       tokens_scored / nullif(seconds, 0) AS tokens_per_second
FROM runs ORDER BY started_at
