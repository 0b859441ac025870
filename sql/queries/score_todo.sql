-- Rows of the dataset and the reference, and canaries of the reference, without a fresh score or a refusal, the longest first. `length` is in
-- characters.
SELECT sample_id, bool_and(is_canary) AS is_canary,
       sample_id IN (SELECT sample_id FROM store.packed WHERE model_key = $model_key) AS has_vector, max(length(messages)) AS length
FROM (
    SELECT sample_id, messages, false AS is_canary FROM store.rows
    WHERE dataset IN ($dataset, $reference) AND retired_at IS NULL
    UNION ALL
    SELECT sample_id, messages, true FROM store.canaries
    WHERE reference = $reference AND reference_hash = $reference_hash
)
ANTI JOIN (
    SELECT sample_id FROM store.fresh_scores($model_key, $reference, $reference_hash)
    UNION ALL
    SELECT sample_id FROM store.unscorable WHERE model_key = $model_key
) USING (sample_id)
GROUP BY sample_id
ORDER BY length DESC, sample_id;
