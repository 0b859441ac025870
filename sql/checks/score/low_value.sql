-- info: a row that is worth less than nearly every trusted row pulls the model away from them; it may be right all the same
-- Trusted rows hold the value that they have for the other trusted rows (leave one out), so a good row is one of them.
SELECT sample_id, getvariable('dataset') AS dataset,
       format('The value is {:.4g}: {:.0f} of the {:.0f} trusted rows are worth as little (p = {:.3g}, q = {:.3g}).',
              good, as_low, n_trusted, p_value, q_value) AS reason,
       p_value, q_value
FROM store.valued_less()
WHERE q_value <= getvariable('false_discovery_rate')
