-- Values of rows compared with those of trusted rows, for checks of scores, which set the variables:
--     p(row) = (1 + trusted rows with a value as low or lower) / (1 + trusted rows)      (conformal p-value)
--     q(row) = min over rows with an equal or larger p of  p * rows / rank of p          (Benjamini-Hochberg)
-- Both depend on a row only through `as_low`, which takes at most trusted rows + 1 different values.
CREATE OR REPLACE MACRO store.valued_less() AS TABLE
WITH fresh AS (
    SELECT sample_id, value AS good
    FROM store.fresh_scores(getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'))
),
held AS (
    SELECT f.sample_id, f.good, r.dataset
    FROM fresh AS f JOIN rows AS r USING (sample_id)
    WHERE isfinite(f.good)
),
trusted AS (
    SELECT good, sum(count(*)) OVER (ORDER BY good) AS as_low
    FROM (SELECT DISTINCT sample_id, good FROM held WHERE dataset = getvariable('reference'))
    GROUP BY good
),
mine AS (
    SELECT h.sample_id, h.good, coalesce(t.as_low, 0)::DOUBLE AS as_low
    FROM (SELECT DISTINCT sample_id, good FROM held WHERE dataset = getvariable('dataset')) AS h
    ASOF LEFT JOIN trusted AS t ON h.good >= t.good
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
SELECT m.sample_id, m.good, m.as_low, j.n_trusted, j.p_value, j.q_value
FROM mine AS m JOIN judged AS j USING (as_low);
