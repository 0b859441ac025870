-- The rows whose rank by value changed most between an earlier version of a model and the current one.
-- parameter: n = 20
WITH ranked AS (
    SELECT s.sample_id, s.dataset, s.reference, s.model, m.now, m.why,
           percent_rank() OVER (PARTITION BY s.dataset, s.reference, s.model ORDER BY s.value) AS rank
    FROM scores AS s JOIN models AS m USING (model)
)
SELECT o.dataset, o.sample_id, o.model AS before, n.model AS now, o.why, o.rank AS rank_before, n.rank AS rank_now,
       left(r.prompt, 80) AS prompt, left(r.answer, 80) AS answer
FROM ranked AS o
JOIN ranked AS n ON n.sample_id = o.sample_id AND n.dataset = o.dataset AND n.reference = o.reference AND n.model = o.now
JOIN rows AS r ON r.sample_id = o.sample_id AND r.dataset = o.dataset
WHERE o.why IS NOT NULL
ORDER BY abs(n.rank - o.rank) DESC, o.sample_id LIMIT getvariable('n')
