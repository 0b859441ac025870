-- The ranked rows, best first, with their index vectors.
SELECT d.sample_id, v.vector FROM decided AS d JOIN store.vectors AS v ON v.sample_id = d.sample_id AND v.model_key = $model_key
WHERE d.rank IS NOT NULL ORDER BY d.rank;
