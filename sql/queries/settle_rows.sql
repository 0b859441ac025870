-- The rows of a version of a split with their decision and the signals of other methods, in the order of their sample_ids.
SELECT r.sample_id, any_value(r.messages) AS messages, any_value(r.tools) AS tools, any_value(r.images) AS images, false AS is_blank,
       any_value(s.value) AS value, any_value(s.nll) AS nll, any_value(p.decision) AS decision
FROM store.rows AS r
JOIN split_rows AS p ON p.sample_id = r.sample_id AND p.split = $split AND p.version = $version
JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s ON s.sample_id = r.sample_id
WHERE r.dataset = $dataset AND r.retired_at IS NULL
GROUP BY r.sample_id ORDER BY r.sample_id;
