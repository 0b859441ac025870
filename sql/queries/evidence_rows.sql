-- Rows to show: rows with a warning or critical flag, the lowest q-values first; or the most suspicious of the other rows.
WITH flagged AS (
    SELECT sample_id, list({'check': check_name, 'severity': severity, 'reason': reason} ORDER BY check_name) AS flags,
           min(q_value) AS q_value
    FROM flags
    WHERE dataset = $dataset AND severity IN ('warning', 'critical')
    GROUP BY sample_id
),
chosen AS (
    SELECT r.*, f.flags, s.value, s.nll, s.conditional_gain, s.image_gain, s.tokens, s.token_values, s.token_logprobs,
           s.likeliest, f.q_value, p.suspicion, p.looks_like, v.verdict, v.answer AS right_answer, v.who, v.why
    FROM rows AS r LEFT JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s USING (sample_id) LEFT JOIN flagged AS f USING (sample_id)
    LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p USING (sample_id)
    LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
    WHERE r.dataset = $dataset AND ($flagged = (f.flags IS NOT NULL)) AND ($flagged OR s.nll IS NOT NULL)
    ORDER BY f.q_value NULLS LAST, p.suspicion DESC NULLS LAST, s.nll DESC NULLS LAST, r.sample_id
    LIMIT $n
)
SELECT c.* EXCLUDE (images, messages, tools, metadata), c.metadata::VARCHAR AS metadata,
       list_transform(c.images, lambda image: image.path) AS paths
FROM chosen AS c
ORDER BY c.q_value NULLS LAST, c.suspicion DESC NULLS LAST, c.nll DESC NULLS LAST, c.sample_id;
