-- What is known to be wrong, as the rows' metadata say it, beside all signals; null is a signal that a row has not.
-- Reads the variables dataset, reference, model_key and reference_hash. The order decides which rows a bootstrap draws.
WITH scored AS (
    SELECT * FROM store.scores
    WHERE model_key = getvariable('model_key') AND reference = getvariable('reference')
      AND reference_hash = getvariable('reference_hash')
),
judged AS (
    SELECT * FROM store.suspicions
    WHERE dataset = getvariable('dataset') AND role = 'dataset' AND model_key = getvariable('model_key')
      AND reference = getvariable('reference') AND reference_hash = getvariable('reference_hash')
)
SELECT lower(trim(r.metadata->>$pointer)) AS truth, s.sample_id IS NOT NULL AS has_score, s.value, s.value_per_token,
       s.value_cosine, s.local_value, s.self_value, s.nll, s.worst_token, s.conditional_gain, s.image_gain,
       p.label_probe, p.agreement, p.suspicion, p.q_value
FROM rows AS r LEFT JOIN scored AS s USING (sample_id) LEFT JOIN judged AS p USING (sample_id)
WHERE r.dataset = getvariable('dataset')
ORDER BY r.sample_id;
