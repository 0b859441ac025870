-- Rows that a person may be offered on the trust page, and those that were decided there, in random order (a sample_id is a
-- hash). Rows with a verdict of the review page and rows that are trusted already are left out. `state` is that of the model
-- that was used last, or null.
WITH decided AS (SELECT sample_id, page = 'trust' OR trusted_as IS NOT NULL AS is_taken FROM verdicts WHERE dataset = $dataset),
candidates AS (
    SELECT r.sample_id, left(r.prompt, 500) || chr(10) || left(r.answer, 500) AS text, coalesce(d.is_taken, false) AS is_taken
    FROM store.rows AS r LEFT JOIN decided AS d USING (sample_id)
    WHERE r.dataset = $dataset AND r.retired_at IS NULL AND coalesce(d.is_taken, true)
      AND (d.is_taken OR r.sample_id NOT IN (SELECT sample_id FROM store.rows WHERE dataset = $reference AND retired_at IS NULL))
    ORDER BY r.sample_id LIMIT $n
)
SELECT c.sample_id, c.text, c.is_taken, p.text_state AS state
FROM candidates AS c
LEFT JOIN store.packed AS p ON p.sample_id = c.sample_id AND p.model_key = (
    SELECT model_key FROM store.models SEMI JOIN store.packed USING (model_key) ORDER BY last_used_at DESC, model_key LIMIT 1
)
ORDER BY c.sample_id;
