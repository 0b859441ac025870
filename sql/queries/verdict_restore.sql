-- Take a bulk back: each of its rows whose present verdict is still that of the bulk gets the verdict that it had before.
INSERT INTO store.verdicts BY NAME
WITH history AS (
    SELECT *, row_number() OVER (PARTITION BY sample_id ORDER BY decided_at, rowid) AS step
    FROM store.verdicts
    WHERE dataset = $dataset AND sample_id IN (SELECT sample_id FROM store.verdicts WHERE dataset = $dataset AND bulk = $bulk)
),
given AS (SELECT sample_id, min(step) AS step FROM history WHERE bulk = $bulk GROUP BY sample_id)
SELECT g.sample_id, $dataset AS dataset, coalesce(h.verdict, 'undo') AS verdict, h.answer, h.record, coalesce(h.why, '') AS why,
       coalesce(h.who, $who) AS who, now() AS decided_at, coalesce(h.page, 'review') AS page, h.trusted_as, h.bulk
FROM given AS g
JOIN verdicts AS v ON v.sample_id = g.sample_id AND v.dataset = $dataset AND v.bulk = $bulk
LEFT JOIN history AS h ON h.sample_id = g.sample_id AND h.step = g.step - 1;
