-- The vectors of the rows that may be kept and that no person has decided about. `draw` is the random order that the
-- seed decides, in 64 bits; rows with their vectors are not sorted here, which would take as much memory again. A row
-- whose answer is shorter or longer than the trusted ones was not judged, so it has no p-value.
SELECT j.sample_id, ('0x' || left(j.draw, 16))::UBIGINT AS draw, j.part, j.answer_tokens, s.suspicion,
       CASE WHEN coalesce(s.unlike_because, 'asks') = 'asks' THEN s.p_value END AS p_value, v.vector, v.text_state, v.text_unit
FROM judged AS j
JOIN store.packed AS v ON v.sample_id = j.sample_id AND v.model_key = $model_key
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS s ON s.sample_id = j.sample_id
WHERE j.refused_for IS NULL AND NOT j.by_hand;
