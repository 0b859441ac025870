-- The newest results of each stage of checks of a dataset, failed ones first.
WITH newest AS (
    SELECT c.stage, arg_max(c.run_id, coalesce(r.started_at, 'epoch'::TIMESTAMPTZ)) AS run_id
    FROM store.checks AS c LEFT JOIN store.runs AS r USING (run_id)
    WHERE c.dataset = $dataset GROUP BY c.stage
)
SELECT run_id, stage, check_name, severity, success, rows_failed, rows_tested, why, seconds
FROM store.checks SEMI JOIN newest USING (run_id, stage)
WHERE dataset = $dataset
ORDER BY success, list_position(['critical', 'warning', 'info'], severity), stage, check_name;
