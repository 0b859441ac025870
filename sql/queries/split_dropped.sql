-- Rows that a version of a split drops, by cause.
SELECT cause, count(*) AS rows FROM split_rows WHERE split = $split AND version = $version AND decision = 'drop'
GROUP BY cause ORDER BY rows DESC, cause;
