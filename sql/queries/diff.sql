-- The rows that two versions of a split decide differently, at most $n, with their texts.
WITH changed AS MATERIALIZED (FROM split_diff($split, $version_a, $version_b) LIMIT $n)
SELECT c.*, r.prompt, r.answer
FROM changed AS c LEFT JOIN (
    SELECT sample_id, any_value(prompt) AS prompt, any_value(answer) AS answer
    FROM store.rows SEMI JOIN changed USING (sample_id) GROUP BY sample_id
) AS r USING (sample_id)
ORDER BY c.cause, c.sample_id;
