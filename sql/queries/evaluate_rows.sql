-- The truth in the rows' metadata, with all signals of the row; a missing signal is null. The order is fixed, because the
-- bootstrap draws rows by position.
SELECT lower(trim(r.metadata->>$pointer)) AS truth, s.sample_id IS NOT NULL AS has_score, s.value, s.value_per_token,
       s.value_cosine, s.local_value, s.self_value, s.nll, s.worst_token, s.conditional_gain, s.image_gain,
       p.label_probe, p.agreement, p.suspicion, p.q_value
FROM rows AS r
LEFT JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s USING (sample_id)
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p USING (sample_id)
WHERE r.dataset = $dataset
ORDER BY r.sample_id;
