-- Rows of the newest version of each split that are less like any trusted row than random pairs are: what nobody asks for.
SELECT p.split, p.sample_id, round(p.similarity, 3) AS similarity, p.decision, left(r.prompt, 80) AS prompt, left(r.answer, 60) AS answer
FROM split_rows AS p
SEMI JOIN (SELECT split, max(version) AS version FROM splits GROUP BY split) USING (split, version)
JOIN (SELECT split, version, min(floor) AS floor FROM coverage GROUP BY ALL) AS c USING (split, version)
JOIN store.splits AS s ON s.split = p.split AND s.version = p.version
JOIN rows AS r ON r.sample_id = p.sample_id AND r.dataset = s.dataset
WHERE p.similarity < c.floor
ORDER BY p.split, p.similarity, p.sample_id
