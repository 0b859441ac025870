-- One line for each of the rows to export, in the order of the review queue.
SELECT q.sample_id, q.source_file, q.source_line, array_to_string(q.checks, ', ') AS checks, f.reasons, q.suspicion, q.p_value, q.q_value,
       q.looks_like, q.verdict, q.who
FROM review_queue AS q
SEMI JOIN rows_to_export USING (sample_id)
LEFT JOIN (
    SELECT sample_id, string_agg(check_name || ': ' || reason, '; ' ORDER BY check_name) AS reasons
    FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical') GROUP BY sample_id
) AS f USING (sample_id)
ORDER BY q.position;
