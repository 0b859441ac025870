-- warning: a row that is more suspicious than nearly all trusted rows is likely to be wrong; false_discovery_rate bounds the false flags
-- needs: trusted rows
-- The rate holds if the clean rows of the dataset are distributed as the trusted rows. Rows that are unlike all trusted rows
-- are not flagged.
WITH trusted AS (
    SELECT count(*) AS n FROM store.fresh_suspicions(getvariable('dataset'), getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'), 'reference')
)
SELECT p.sample_id, p.dataset,
       format('It looks like {}: {}{:.0f} of {} trusted rows are as suspicious (p = {:.3g}, q = {:.3g}); what weighs most: {}.',
              p.looks_like, CASE WHEN p.local_fdr < 0.01 THEN 'right with a probability under 1%, ' WHEN p.local_fdr <= 1 THEN format('right with a probability of {:.0f}%, ', 100 * p.local_fdr) ELSE '' END, p.p_value * (n + 1) - 1, n, p.p_value, p.q_value,
              array_to_string(p.signals, ', ')) AS reason,
       p.p_value, p.q_value, p.signals
FROM store.fresh_suspicions(getvariable('dataset'), getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'), 'dataset') AS p,
     trusted
WHERE p.q_value <= getvariable('false_discovery_rate')
