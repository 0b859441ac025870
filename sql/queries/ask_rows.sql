-- The rows of a dataset whose vectors have the largest and the smallest products with a given vector.
SELECT p.value, p.sample_id, r.prompt, r.answer
FROM (
    SELECT v.sample_id, list_inner_product(v.vector, $vector::FLOAT[]) AS value
    FROM store.vectors AS v SEMI JOIN (SELECT sample_id FROM store.rows WHERE dataset = $dataset AND retired_at IS NULL) AS c USING (sample_id)
    WHERE v.model_key = $model_key
    QUALIFY row_number() OVER (ORDER BY value DESC, sample_id) <= $n OR row_number() OVER (ORDER BY value, sample_id DESC) <= $n
) AS p
JOIN store.rows AS r ON r.sample_id = p.sample_id AND r.dataset = $dataset
ORDER BY p.value DESC, p.sample_id;
