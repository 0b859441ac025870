-- One row per row of the files: its scores in a scope, its flags, and what the newest version of a split decided. A row
-- that was rejected has a reason and no sample_id; a duplicate has the scores of the row that it repeats.
WITH given AS (
    SELECT source_file, source_line, sample_id, NULL AS reject FROM row_sources WHERE dataset = $dataset
    UNION ALL
    SELECT source_file, source_line, NULL, reason FROM store.rejects WHERE dataset = $dataset
),
flagged AS (
    SELECT sample_id, list(check_name ORDER BY check_name) AS flags, list(reason ORDER BY check_name) AS flag_reasons,
           bool_or(severity <> 'info') AS is_flagged
    FROM flags WHERE dataset = $dataset GROUP BY sample_id
),
decided AS (
    FROM store.split_rows WHERE split = $split
    AND version = (SELECT max(version) FROM store.splits WHERE split = $split)
),
refusals AS (SELECT sample_id, any_value(reason) AS reason FROM store.unscorable WHERE model_key = $model_key GROUP BY ALL)
SELECT g.source_file, g.source_line, g.sample_id, coalesce(g.reject, u.reason) AS reason,
       r.source_file AS first_file, r.source_line AS first_line, r.prompt, r.answer,
       CASE WHEN $records THEN coalesce(d.record, r.record) END AS record, d.record IS NOT NULL AS is_corrected,
       s.value, s.value_per_token, s.value_cosine, s.self_value, s.nll, s.conditional_gain, s.image_gain, s.local_value,
       s.worst_token, s.answer_tokens, s.truncated, p.label_probe, p.suspicion, p.p_value, p.q_value, p.local_fdr,
       p.looks_like, p.is_unlike, p.unlike_because,
       coalesce(f.flags, []) AS flags, coalesce(f.flag_reasons, []) AS flag_reasons,
       coalesce(f.is_flagged, false) AS is_flagged, d.decision, d.cause, d.reason AS decided_because
FROM given AS g
LEFT JOIN store.rows AS r ON r.sample_id = g.sample_id AND r.dataset = $dataset AND r.retired_at IS NULL
LEFT JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s ON s.sample_id = g.sample_id
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p ON p.sample_id = g.sample_id
LEFT JOIN flagged AS f ON f.sample_id = g.sample_id
LEFT JOIN refusals AS u ON u.sample_id = g.sample_id
LEFT JOIN decided AS d ON d.sample_id = g.sample_id
ORDER BY g.source_file, g.source_line;
