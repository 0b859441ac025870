-- The latest result of each check: the one inserted last, because a clock can be set back between runs.
SELECT check_name, severity, success, rows_failed, rows_tested FROM store.checks
WHERE dataset = $dataset
QUALIFY row_number() OVER (PARTITION BY check_name ORDER BY rowid DESC) = 1
ORDER BY check_name;
