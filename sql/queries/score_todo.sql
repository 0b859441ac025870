-- Rows of the dataset and the reference that have neither a fresh score nor a refusal, the longest first.
SELECT sample_id
FROM store.rows
ANTI JOIN (
    SELECT sample_id FROM store.scores
    WHERE model_key = $model_key AND reference = $reference AND reference_hash = $reference_hash
    UNION ALL
    SELECT sample_id FROM store.unscorable WHERE model_key = $model_key
) USING (sample_id)
WHERE dataset IN ($dataset, $reference) AND retired_at IS NULL
GROUP BY sample_id
ORDER BY max(length(messages)) DESC, sample_id;
