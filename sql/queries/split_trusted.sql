-- The vectors of the trusted rows, in the random order in which they take turns.
SELECT r.sample_id, v.vector, v.text_state, v.text_unit
FROM store.rows AS r JOIN store.packed AS v ON v.sample_id = r.sample_id AND v.model_key = $model_key
WHERE r.dataset = $reference AND r.retired_at IS NULL
ORDER BY md5(r.sample_id || $seed), r.sample_id;
