-- Up to 20 bad rows of one check, the lowest q-values first, in a fixed order.
WITH worst AS (
    SELECT sample_id, dataset, reason, q_value FROM flags
    WHERE run_id = $run_id AND dataset = $dataset AND check_name = $check_name
    ORDER BY q_value NULLS LAST, sample_id
    LIMIT 20
)
SELECT w.sample_id, w.reason, left(r.prompt, 200) AS prompt, left(r.answer, 200) AS answer
FROM worst AS w LEFT JOIN rows AS r USING (sample_id, dataset)
ORDER BY w.q_value NULLS LAST, w.sample_id;
