-- For each row to explain, the nearest rows by first answer state, among rows without a warning or critical flag.
WITH mine AS MATERIALIZED (
    SELECT v.sample_id, v.state FROM store.vectors AS v SEMI JOIN rows_to_explain USING (sample_id) WHERE v.model_key = $model_key
),
accepted AS MATERIALIZED (
    SELECT v.sample_id, v.state FROM store.vectors AS v
    SEMI JOIN (
        SELECT sample_id FROM rows WHERE dataset = $dataset
        EXCEPT
        SELECT sample_id FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical')
    ) USING (sample_id)
    WHERE v.model_key = $model_key
),
near AS (
    SELECT sample_id, unnest(max_by({'accepted': accepted, 'cosine': cosine}, cosine, 3), recursive := true)
    FROM (
        SELECT v.sample_id, o.sample_id AS accepted, list_cosine_similarity(v.state, o.state) AS cosine
        FROM mine AS v, accepted AS o
        WHERE o.sample_id <> v.sample_id
    )
    GROUP BY sample_id
)
SELECT n.sample_id, n.cosine AS value, left(r.prompt, 300) AS prompt, left(r.answer, 300) AS answer
FROM near AS n JOIN rows AS r ON r.sample_id = n.accepted AND r.dataset = $dataset
ORDER BY n.sample_id, n.cosine DESC;
