-- A row with its evidence and its present verdict. `decided_us` says when the verdict was given; it is 0 without one.
SELECT r.sample_id, r.prompt, r.answer, r.source_file, r.source_line, list_transform(r.images, lambda image: image.path) AS paths,
       f.flags, s.tokens, s.token_values, s.token_logprobs, s.likeliest, p.suspicion, p.q_value, p.looks_like,
       v.verdict, v.answer AS right_answer, v.who, v.why, coalesce(epoch_us(v.decided_at), 0) AS decided_us
FROM store.rows AS r
LEFT JOIN (
    SELECT sample_id, list({'check': check_name, 'reason': reason} ORDER BY check_name) AS flags
    FROM flags WHERE dataset = $dataset AND sample_id = $sample_id AND severity IN ('warning', 'critical') GROUP BY sample_id
) AS f USING (sample_id)
LEFT JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s USING (sample_id)
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p USING (sample_id)
LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
WHERE r.dataset = $dataset AND r.sample_id = $sample_id AND r.retired_at IS NULL;
