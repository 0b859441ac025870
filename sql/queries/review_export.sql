-- One line for each of the rows to export, in the order of the review queue.
SELECT q.sample_id, r.source_file, r.source_line, array_to_string(q.checks, ', ') AS checks, array_to_string(q.reasons, '; ') AS reasons,
       q.suspicion, q.p_value, q.q_value, q.looks_like, q.verdict, q.who
FROM store.review_queue($dataset, $model_key, $reference, $reference_hash) AS q
SEMI JOIN rows_to_export USING (sample_id)
JOIN store.rows AS r ON r.sample_id = q.sample_id AND r.dataset = $dataset AND r.retired_at IS NULL
ORDER BY q.position;
