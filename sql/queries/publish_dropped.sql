SELECT d.sample_id, r.prompt, r.answer, d.reason, d.rank, d.value, list(DISTINCT f.check_name ORDER BY f.check_name) FILTER (f.check_name IS NOT NULL) AS flags
FROM store.split_rows AS d
JOIN store.splits AS s USING (split, version)
JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
LEFT JOIN store.flags AS f ON f.sample_id = d.sample_id AND f.dataset = s.dataset
WHERE d.split = $split AND d.version = $version AND d.decision = 'drop'
GROUP BY ALL
ORDER BY d.sample_id;
