-- How many rows each cause decided about.
SELECT cause, count(*) AS rows FROM decided GROUP BY ALL ORDER BY rows DESC, cause;
