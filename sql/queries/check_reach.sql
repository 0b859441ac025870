-- low_value's reach: with n trusted rows no p-value is below 1 / (1 + n), which k of m rows must share for q = m p / k
-- to be as low as the rate; n = m / rate - 1 trusted rows would do for k = 1.
SELECT trusted, valued,
       ceil(valued / ((1 + trusted) * $rate))::BIGINT AS at_once,
       ceil(valued / $rate)::BIGINT - 1 AS enough
FROM (
    SELECT count(DISTINCT s.sample_id) FILTER (r.dataset = $reference) AS trusted,
           count(DISTINCT s.sample_id) FILTER (r.dataset = $dataset) AS valued
    FROM store.scores AS s JOIN rows AS r USING (sample_id)
    WHERE s.model_key = $model_key AND s.reference = $reference AND s.reference_hash = $reference_hash
      AND isfinite(s.value)
);
