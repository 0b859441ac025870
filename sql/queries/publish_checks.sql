-- The latest result of each check.
SELECT check_name, severity, success, rows_failed, rows_tested FROM store.checks AS c
WHERE dataset = $dataset
QUALIFY row_number() OVER (PARTITION BY check_name ORDER BY (SELECT started_at FROM store.runs AS r WHERE r.run_id = c.run_id) DESC) = 1
ORDER BY check_name;
