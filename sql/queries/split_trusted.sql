-- The vectors and suspicions of the trusted rows, in the random order in which they take turns. The semi join hashes the few
-- trusted rows.
SELECT v.sample_id, s.suspicion, v.vector, v.text_state, v.text_unit
FROM store.packed AS v
SEMI JOIN (SELECT sample_id FROM store.rows WHERE dataset = $reference AND retired_at IS NULL) AS r USING (sample_id)
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'reference') AS s USING (sample_id)
WHERE v.model_key = $model_key
ORDER BY md5(v.sample_id || $seed), v.sample_id;
