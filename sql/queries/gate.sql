-- What publishing.require looks at.
SELECT s.rows_dropped / (s.rows_kept + s.rows_dropped) AS dropped,
       (SELECT max(auc) FROM store.detectability
        WHERE dataset = s.dataset AND model_key = s.model_key AND reference = s.reference) AS detectability,
       (SELECT any_value(clean_flagged) FROM store.calibration
        WHERE dataset = s.dataset AND model_key = s.model_key AND reference = s.reference AND stated = $rate) AS false_flags
FROM store.splits AS s WHERE split = $split AND version = $version;
