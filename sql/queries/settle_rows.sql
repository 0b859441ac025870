-- The rows of a version of a split with their decision and what methods choose rows by, in the order of their sample_ids.
SELECT r.sample_id, any_value(r.messages) AS messages, any_value(r.tools) AS tools, any_value(r.images) AS images, false AS is_blank,
       any_value(r.prompt) AS prompt, any_value(r.answer) AS answer, any_value(r.metadata::JSON->>$truth) AS truth,
       any_value(s.value) AS value, any_value(s.value_cosine) AS value_cosine, any_value(s.nll) AS nll, any_value(p.decision) AS decision,
       any_value(u.suspicion) AS suspicion, any_value(u.p_value) AS p_value,
       any_value(v.vector) AS vector, any_value(v.text_state) AS text_state, any_value(v.text_unit) AS text_unit
FROM store.rows AS r
JOIN split_rows AS p ON p.sample_id = r.sample_id AND p.split = $split AND p.version = $version
JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s ON s.sample_id = r.sample_id
JOIN store.packed AS v ON v.sample_id = r.sample_id AND v.model_key = $model_key
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS u ON u.sample_id = r.sample_id
WHERE r.dataset = $dataset AND r.retired_at IS NULL
GROUP BY r.sample_id ORDER BY r.sample_id;
