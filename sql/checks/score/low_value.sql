-- info: training on a row with a lower value than nearly all trusted rows harms the model on them; the row may still be right
-- needs: trusted rows
-- The value of a trusted row is against the other trusted rows (leave one out), so that it is comparable with a row's.
SELECT sample_id, getvariable('dataset') AS dataset,
       format('The value is {:.4g}: {:.0f} of the {:.0f} trusted rows are worth as little (p = {:.3g}, q = {:.3g}).',
              good, as_low, n_trusted, p_value, q_value) AS reason,
       p_value, q_value
FROM store.valued_less()
WHERE q_value <= getvariable('false_discovery_rate')
