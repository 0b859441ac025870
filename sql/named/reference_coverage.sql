-- What the newest version of each split has for each trusted row: rows kept for it, the nearest row, the most similar trusted row.
SELECT split, version, sample_id AS trusted, rows_kept, round(similarity, 3) AS nearest, is_starved, round(twin_similarity, 3) AS twin,
       left(prompt, 80) AS prompt
FROM coverage SEMI JOIN (SELECT split, max(version) AS version FROM splits GROUP BY split) USING (split, version)
ORDER BY split, rows_kept, similarity, trusted
