-- Signals and packed states of rows of one role, for the detector. A row of the dataset that is also trusted counts as
-- trusted. A canary whose twin has no score is left out.
WITH fresh AS (FROM store.fresh_scores($model_key, $reference, $reference_hash)),
trusted AS (SELECT DISTINCT sample_id, answer FROM store.rows WHERE dataset = $reference AND retired_at IS NULL),
part AS (
    SELECT sample_id, NULL AS twin, NULL AS canary, answer FROM trusted WHERE $role = 'reference'
    UNION ALL
    SELECT DISTINCT sample_id, NULL, NULL, answer
    FROM store.rows ANTI JOIN trusted USING (sample_id) WHERE dataset = $dataset AND retired_at IS NULL AND $role = 'dataset'
    UNION ALL
    SELECT sample_id, twin, canary, answer FROM store.canaries
    WHERE reference = $reference AND reference_hash = $reference_hash AND twin IN (SELECT sample_id FROM fresh) AND $role = 'canary'
)
SELECT p.sample_id, p.twin, p.canary, CASE WHEN length(p.answer) <= 100 AND trim(p.answer) != '' THEN hash(trim(p.answer)) END AS answer,
       s.answer_tokens, s.value, s.value_per_token, s.value_cosine, s.self_value, s.nll, s.worst_token, s.conditional_gain,
       s.conditional_gain * s.answer_tokens AS total_gain, s.image_gain, s.local_value,
       s.token_logprobs[1]::DOUBLE AS first_token, s.token_logprobs[-1]::DOUBLE AS last_token, v.state, v.state_unit
FROM part AS p JOIN fresh AS s USING (sample_id)
LEFT JOIN store.packed AS v ON v.sample_id = p.sample_id AND v.model_key = $model_key
ORDER BY p.sample_id, p.canary;
