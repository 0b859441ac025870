-- One line for each of the rows to list: the beginnings of its texts, its checks and its present verdict.
SELECT r.sample_id, left(r.prompt, 300) AS prompt, left(r.answer, 300) AS answer, r.source_file, r.source_line,
       coalesce(f.checks, []) AS checks, v.verdict, v.who
FROM rows_to_list AS l
JOIN store.rows AS r ON r.sample_id = l.sample_id AND r.dataset = $dataset AND r.retired_at IS NULL
LEFT JOIN (
    SELECT sample_id, list(check_name ORDER BY check_name) AS checks
    FROM flags SEMI JOIN rows_to_list USING (sample_id) WHERE dataset = $dataset AND severity IN ('warning', 'critical') GROUP BY sample_id
) AS f ON f.sample_id = r.sample_id
LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
ORDER BY l.position;
