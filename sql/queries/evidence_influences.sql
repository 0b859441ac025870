-- For each row to explain, the trusted rows that raise its value most and those that lower it most, from the index.
WITH mine AS MATERIALIZED (
    SELECT v.sample_id, v.vector FROM store.vectors AS v SEMI JOIN rows_to_explain USING (sample_id) WHERE v.model_key = $model_key
),
trusted AS MATERIALIZED (
    SELECT v.sample_id, v.vector FROM store.vectors AS v
    SEMI JOIN (SELECT sample_id FROM rows WHERE dataset = $reference) USING (sample_id) WHERE v.model_key = $model_key
),
pulls AS (
    SELECT v.sample_id, o.sample_id AS trusted, list_inner_product(v.vector, o.vector) AS value
    FROM mine AS v, trusted AS o
    WHERE o.sample_id <> v.sample_id
    QUALIFY row_number() OVER (PARTITION BY v.sample_id ORDER BY value DESC, o.sample_id) <= 2
         OR row_number() OVER (PARTITION BY v.sample_id ORDER BY value, o.sample_id) <= 2
)
SELECT p.sample_id, p.value, left(r.prompt, 300) AS prompt, left(r.answer, 300) AS answer
FROM pulls AS p JOIN rows AS r ON r.sample_id = p.trusted AND r.dataset = $reference
ORDER BY p.sample_id, p.value DESC;
