-- The trusted rows with what methods compare rows with, in the order of their sample_ids.
SELECT r.sample_id, any_value(r.messages) AS messages, any_value(r.tools) AS tools, any_value(r.images) AS images, false AS is_blank,
       any_value(r.prompt) AS prompt, any_value(r.answer) AS answer,
       any_value(s.suspicion) AS suspicion, any_value(v.vector) AS vector, any_value(v.text_state) AS text_state, any_value(v.text_unit) AS text_unit
FROM store.rows AS r JOIN store.packed AS v ON v.sample_id = r.sample_id AND v.model_key = $model_key
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'reference') AS s ON s.sample_id = r.sample_id
WHERE r.dataset = $reference AND r.retired_at IS NULL
GROUP BY r.sample_id ORDER BY r.sample_id;
