-- warning: a row that is worth less than nearly every trusted row pulls the model away from the trusted rows
-- Trusted rows hold the value that they have for the other trusted rows (leave one out), so a good row is one of them:
--     p(row) = (1 + trusted rows with a value as low or lower) / (1 + trusted rows)       (conformal p-value)
--     q(row) = min over rows with an equal or larger p of  p * rows / rank of p           (Benjamini-Hochberg)
-- Both depend on the row only through `as_low`, of which there are at most as many as trusted rows, plus one.
WITH fresh AS (
    SELECT sample_id, value FROM store.scores
    WHERE model_key = getvariable('model_key') AND isfinite(value)
      AND reference = getvariable('reference') AND reference_hash = getvariable('reference_hash')
),
trusted AS (
    SELECT value, sum(count(*)) OVER (ORDER BY value) AS as_low
    FROM fresh SEMI JOIN (FROM rows WHERE dataset = getvariable('reference')) AS t USING (sample_id)
    GROUP BY value
),
mine AS (
    SELECT f.sample_id, f.value, coalesce(t.as_low, 0)::DOUBLE AS as_low
    FROM (FROM fresh SEMI JOIN (FROM rows WHERE dataset = getvariable('dataset')) AS r USING (sample_id)) AS f
    ASOF LEFT JOIN trusted AS t ON f.value >= t.value
),
ranked AS (
    SELECT as_low, sum(count(*)) OVER (ORDER BY as_low)::DOUBLE AS rank,
           sum(count(*)) OVER ()::DOUBLE AS n_rows,
           coalesce((SELECT max(as_low) FROM trusted), 0)::DOUBLE AS n_trusted
    FROM mine
    GROUP BY as_low
),
judged AS (
    SELECT as_low, n_trusted, (1 + as_low) / (1 + n_trusted) AS p_value,
           min((1 + as_low) * n_rows / ((1 + n_trusted) * rank)) OVER (ORDER BY as_low DESC) AS q_value
    FROM ranked
)
SELECT m.sample_id, getvariable('dataset') AS dataset,
       format('The value is {:.4g}: {:.0f} of the {:.0f} trusted rows are worth as little (p = {:.3g}, q = {:.3g}).',
              m.value, m.as_low, j.n_trusted, j.p_value, j.q_value) AS reason,
       j.p_value, j.q_value
FROM mine AS m JOIN judged AS j USING (as_low)
WHERE j.q_value <= getvariable('false_discovery_rate')
