-- The ranked rows with their index vectors. They are not sorted here, which would take as much memory again.
SELECT d.sample_id, d.rank, v.vector FROM decided AS d JOIN store.packed AS v ON v.sample_id = d.sample_id AND v.model_key = $model_key
WHERE d.rank IS NOT NULL;
