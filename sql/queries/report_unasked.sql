-- Rows that are less like any trusted row than random pairs are, with their text states; at most 4,000 of them, in random order.
SELECT p.sample_id, left(r.prompt, 160) AS prompt, left(r.answer, 80) AS answer, v.text_state, count(*) OVER () AS rows
FROM store.split_rows AS p
JOIN (SELECT split, max(version) AS version FROM store.splits WHERE split = $split AND dataset = $dataset GROUP BY split) USING (split, version)
JOIN (SELECT split, version, min(floor) AS floor FROM store.coverage GROUP BY ALL) AS c USING (split, version)
JOIN store.rows AS r ON r.sample_id = p.sample_id AND r.dataset = $dataset
JOIN store.vectors AS v ON v.sample_id = p.sample_id AND v.model_key = $model_key
WHERE p.similarity < c.floor
ORDER BY p.sample_id LIMIT 4000;
