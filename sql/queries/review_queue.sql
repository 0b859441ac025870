-- The rows for a person to review: those with a warning or critical flag; if there are none, the 50 most suspicious. `position`
-- counts from 1, the most certain flag first.
CREATE TEMP TABLE review_queue AS
WITH flagged AS (
    SELECT sample_id, list(check_name ORDER BY check_name) AS checks, min(p_value) AS p_value, min(q_value) AS q_value
    FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical') GROUP BY sample_id
)
SELECT r.sample_id, coalesce(f.checks, []) AS checks, p.suspicion, p.looks_like, coalesce(f.p_value, p.p_value) AS p_value,
       coalesce(f.q_value, p.q_value) AS q_value, v.verdict, v.who, r.source_file, r.source_line,
       row_number() OVER (
           ORDER BY f.q_value NULLS LAST, p.suspicion DESC NULLS LAST, s.nll DESC NULLS LAST, r.sample_id
       ) AS position
FROM store.rows AS r
LEFT JOIN flagged AS f USING (sample_id)
LEFT JOIN store.fresh_scores($model_key, $reference, $reference_hash) AS s USING (sample_id)
LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p USING (sample_id)
LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
WHERE r.dataset = $dataset AND r.retired_at IS NULL
  AND (f.sample_id IS NOT NULL OR NOT EXISTS (FROM flagged) AND s.nll IS NOT NULL)
QUALIFY f.sample_id IS NOT NULL OR position <= 50;
