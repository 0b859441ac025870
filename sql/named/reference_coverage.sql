-- How a sample of the dataset covers the trusted rows: for each, how many rows help it more than any other, and how much.
-- parameter: rows = 2000
WITH trusted AS MATERIALIZED (
    SELECT v.model, v.sample_id, v.vector FROM vectors AS v JOIN datasets AS d ON d.dataset = v.dataset AND d.role = 'reference'
),
chosen AS MATERIALIZED (
    SELECT v.model, v.dataset, v.sample_id FROM vectors AS v JOIN datasets AS d ON d.dataset = v.dataset AND d.role = 'dataset'
    QUALIFY row_number() OVER (PARTITION BY v.model, v.dataset ORDER BY v.sample_id) <= getvariable('rows')
),
sample AS MATERIALIZED (SELECT model, dataset, sample_id, vector FROM chosen JOIN vectors USING (model, dataset, sample_id)),
most AS (
    SELECT s.model, s.dataset, s.sample_id, arg_max(t.sample_id, list_inner_product(s.vector, t.vector)) AS trusted,
           max(list_inner_product(s.vector, t.vector)) AS value
    FROM sample AS s JOIN trusted AS t USING (model) GROUP BY ALL
)
SELECT t.model, m.dataset, t.sample_id AS trusted, count(m.sample_id) AS rows, avg(m.value) AS value, left(any_value(r.prompt), 80) AS prompt
FROM trusted AS t LEFT JOIN most AS m ON m.model = t.model AND m.trusted = t.sample_id LEFT JOIN rows AS r ON r.sample_id = t.sample_id
GROUP BY ALL ORDER BY t.model, m.dataset, rows DESC, trusted
