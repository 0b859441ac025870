-- Rows to show: those with a flag that can drop them, the surest first; or the most suspicious of the others.
-- Reads the variables dataset, reference, model_key and reference_hash.
WITH flagged AS (
    SELECT sample_id, list({'check': check_name, 'severity': severity, 'reason': reason} ORDER BY check_name) AS flags,
           min(q_value) AS q_value
    FROM flags
    WHERE dataset = getvariable('dataset') AND severity IN ('warning', 'critical')
    GROUP BY sample_id
),
scored AS (
    SELECT * FROM store.scores
    WHERE model_key = getvariable('model_key') AND reference = getvariable('reference')
      AND reference_hash = getvariable('reference_hash')
),
chosen AS (
    SELECT r.*, f.flags, s.value, s.nll, s.conditional_gain, s.image_gain, s.tokens, s.token_values, s.token_logprobs,
           s.likeliest, f.q_value, p.suspicion, v.verdict, v.answer AS right_answer, v.who, v.why
    FROM rows AS r LEFT JOIN scored AS s USING (sample_id) LEFT JOIN flagged AS f USING (sample_id)
    LEFT JOIN store.suspicions AS p ON p.sample_id = r.sample_id AND p.dataset = r.dataset AND p.role = 'dataset'
        AND p.model_key = getvariable('model_key') AND p.reference = getvariable('reference')
    LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
    WHERE r.dataset = getvariable('dataset') AND ($flagged = (f.flags IS NOT NULL)) AND ($flagged OR s.nll IS NOT NULL)
    ORDER BY f.q_value NULLS LAST, p.suspicion DESC NULLS LAST, s.nll DESC NULLS LAST, r.sample_id
    LIMIT $n
)
SELECT c.* EXCLUDE (images, messages, tools, metadata), c.metadata::VARCHAR AS metadata,
       list_transform(c.images, lambda one: one.path) AS paths
FROM chosen AS c
ORDER BY c.q_value NULLS LAST, c.suspicion DESC NULLS LAST, c.nll DESC NULLS LAST, c.sample_id;
