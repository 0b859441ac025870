-- Rows of a trial in the order of evaluate_rows, with the state that predicts the first answer token.
SELECT r.sample_id, r.answer, v.state
FROM rows AS r LEFT JOIN store.vectors AS v ON v.sample_id = r.sample_id AND v.model_key = $model_key
WHERE r.dataset = $dataset
ORDER BY r.sample_id;
