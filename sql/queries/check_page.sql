-- All checks of a run, failed ones first.
SELECT dataset, stage, check_name, severity, success, rows_failed, rows_tested, why, seconds
FROM checks
WHERE run_id = $run_id
ORDER BY success, list_position(['critical', 'warning', 'info'], severity), stage, check_name, dataset;
