-- The rows whose rank by value differs most between two models; a rank is the share of rows with a lower value.
-- parameter: n = 20
WITH ranked AS (
    SELECT sample_id, dataset, reference, model, percent_rank() OVER (PARTITION BY dataset, reference, model ORDER BY value) AS rank
    FROM scores
)
SELECT a.dataset, a.sample_id, a.model AS model_a, b.model AS model_b, a.rank AS rank_a, b.rank AS rank_b,
       left(r.prompt, 80) AS prompt, left(r.answer, 80) AS answer
FROM ranked AS a
JOIN ranked AS b ON b.sample_id = a.sample_id AND b.dataset = a.dataset AND b.reference = a.reference AND b.model > a.model
JOIN rows AS r ON r.sample_id = a.sample_id AND r.dataset = a.dataset
ORDER BY abs(a.rank - b.rank) DESC, a.sample_id LIMIT getvariable('n')
