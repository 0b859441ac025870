-- warning: a row that is more suspicious than nearly every trusted row is likely to be wrong; false_discovery_rate says how likely
-- The rate holds if clean rows of the dataset behave as the trusted ones do.
WITH trusted AS (
    SELECT count(*) AS n FROM store.suspicions
    WHERE dataset = getvariable('dataset') AND role = 'reference' AND model_key = getvariable('model_key')
      AND reference = getvariable('reference') AND reference_hash = getvariable('reference_hash')
)
SELECT p.sample_id, p.dataset,
       format('It looks like {}: {:.0f} of {} trusted rows are as suspicious (p = {:.3g}, q = {:.3g}); what weighs most: {}.',
              p.looks_like, p.p_value * (n + 1) - 1, n, p.p_value, p.q_value, array_to_string(p.signals, ', ')) AS reason,
       p.p_value, p.q_value, p.signals
FROM store.suspicions AS p, trusted
WHERE p.dataset = getvariable('dataset') AND p.role = 'dataset' AND p.model_key = getvariable('model_key')
  AND p.reference = getvariable('reference') AND p.reference_hash = getvariable('reference_hash')
  AND p.q_value <= getvariable('false_discovery_rate')
