-- The newest bulk of a person that still counts, and its rows.
SELECT bulk, verdict, count(*) AS rows FROM verdicts
WHERE dataset = $dataset AND who = $who AND bulk IS NOT NULL
GROUP BY ALL ORDER BY max(decided_at) DESC, bulk LIMIT 1;
