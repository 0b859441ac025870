-- Values in 40 bins between their 1st and 99th percentiles. Values outside are in the first and the last bin.
WITH marked AS (
    SELECT s.value, f.sample_id IS NOT NULL AS flagged
    FROM scores AS s JOIN store.models AS m ON m.model = s.model AND m.model_key = $model_key
    LEFT JOIN (
        SELECT DISTINCT sample_id FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical')
    ) AS f USING (sample_id)
    WHERE s.dataset = $dataset AND s.reference = $reference AND isfinite(s.value)
),
span AS (SELECT quantile_cont(value, 0.01) AS low, quantile_cont(value, 0.99) AS high FROM marked)
SELECT low + (high - low) * bin / 40 AS start, low + (high - low) * (bin + 1) / 40 AS stop,
       CASE WHEN flagged THEN 'flagged' ELSE 'not flagged' END AS state, count(*) AS rows
FROM (
    SELECT low, high, flagged,
           CASE WHEN high > low THEN greatest(least(floor((value - low) / (high - low) * 40), 39), 0) ELSE 0 END AS bin
    FROM marked, span
)
GROUP BY ALL ORDER BY ALL;
