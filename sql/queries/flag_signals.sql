-- What the detector looks at, of rows, trusted rows and canaries. A row that is trusted too is a trusted row.
WITH part AS (
    SELECT DISTINCT sample_id, 'reference' AS role, NULL AS twin, NULL AS canary, answer
    FROM store.rows WHERE dataset = $reference AND retired_at IS NULL
    UNION ALL
    SELECT DISTINCT sample_id, 'dataset', NULL, NULL, answer
    FROM store.rows WHERE dataset = $dataset AND retired_at IS NULL
      AND sample_id NOT IN (SELECT sample_id FROM store.rows WHERE dataset = $reference AND retired_at IS NULL)
    UNION ALL
    SELECT sample_id, 'canary', twin, canary, answer FROM store.canaries
    WHERE reference = $reference AND reference_hash = $reference_hash
)
SELECT p.role, p.sample_id, p.twin, p.canary, CASE WHEN length(p.answer) <= 100 THEN trim(p.answer) ELSE '' END AS answer,
       s.answer_tokens, s.value, s.value_per_token, s.value_cosine, s.self_value, s.nll, s.worst_token, s.conditional_gain,
       s.conditional_gain * s.answer_tokens AS total_gain, s.image_gain, s.local_value,
       s.token_logprobs[1]::DOUBLE AS first_token, s.token_logprobs[-1]::DOUBLE AS last_token
FROM part AS p JOIN store.scores AS s USING (sample_id)
WHERE s.model_key = $model_key AND s.reference = $reference AND s.reference_hash = $reference_hash
ORDER BY p.role, p.sample_id, p.canary;
