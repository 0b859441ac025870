-- The rows and canaries to score, with the fields that a model reads, the longest first.
SELECT sample_id, messages, tools, images, is_blank
FROM (
    SELECT sample_id, messages, tools, images, false AS is_blank
    FROM store.rows SEMI JOIN (FROM rows_to_cut WHERE NOT is_canary) USING (sample_id)
    WHERE dataset = $dataset AND retired_at IS NULL
    UNION ALL
    SELECT sample_id, any_value(messages), any_value(tools), any_value(images), bool_or(is_blank)
    FROM store.canaries SEMI JOIN (FROM rows_to_cut WHERE is_canary) USING (sample_id)
    WHERE reference = $reference AND reference_hash = $reference_hash
    GROUP BY sample_id
)
ORDER BY length(messages) DESC, sample_id;
