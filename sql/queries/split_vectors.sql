-- The vectors of the rows that may be kept and that no person has decided about, in a random order that the seed decides.
SELECT j.sample_id, j.part, j.answer_tokens, s.suspicion, s.p_value, v.vector, v.text_state, v.text_unit
FROM judged AS j
JOIN store.packed AS v ON v.sample_id = j.sample_id AND v.model_key = $model_key
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS s ON s.sample_id = j.sample_id
WHERE j.refused_for IS NULL AND NOT j.by_hand
ORDER BY j.draw, j.sample_id;
