-- The trusted rows in the newest version of the split.
SELECT c.sample_id, c.rows_kept, c.nearest, c.similarity, c.is_starved, c.twin, c.twin_similarity, c.prompt, c.answer, t.prompt AS twin_prompt
FROM coverage AS c
JOIN (SELECT split, max(version) AS version FROM store.splits WHERE split = $split AND dataset = $dataset GROUP BY split) USING (split, version)
LEFT JOIN store.rows AS t ON t.sample_id = c.twin AND t.dataset = $reference
ORDER BY c.similarity, c.sample_id;
