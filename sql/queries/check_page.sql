-- The newest results of each stage of checks of a dataset, failed ones first.
WITH newest AS (
    SELECT stage, arg_max(run_id, rowid) AS run_id FROM store.checks WHERE dataset = $dataset GROUP BY stage
)
SELECT run_id, stage, check_name, severity, success, rows_failed, rows_tested, why, seconds
FROM store.checks SEMI JOIN newest USING (run_id, stage)
WHERE dataset = $dataset
ORDER BY success, list_position(['critical', 'warning', 'info'], severity), stage, check_name;
