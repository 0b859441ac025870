-- Rows that a version of a split drops for a flag, by check.
SELECT f.check_name, count(DISTINCT f.sample_id) AS rows
FROM split_rows AS d JOIN store.splits AS s USING (split, version)
JOIN flags AS f ON f.sample_id = d.sample_id AND f.dataset = s.dataset AND f.severity IN ('warning', 'critical')
WHERE d.split = $split AND d.version = $version AND d.decision = 'drop' AND d.cause = 'flag'
GROUP BY f.check_name ORDER BY rows DESC, f.check_name;
