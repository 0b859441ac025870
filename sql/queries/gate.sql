-- The numbers that publishing.require bounds and that a person sees before approving.
SELECT s.rows_kept, s.rows_dropped, s.rows_flagged, s.rows_dropped / (s.rows_kept + s.rows_dropped) AS dropped,
       (SELECT max(auc) FROM store.detectability
        WHERE dataset = s.dataset AND model_key = s.model_key AND reference = s.reference) AS detectability,
       (SELECT any_value(clean_flagged) FROM store.calibration
        WHERE dataset = s.dataset AND model_key = s.model_key AND reference = s.reference AND stated = $rate) AS false_flags,
       (SELECT {p: p, difference: difference} FROM store.comparisons
        WHERE evaluation = 'finetune' AND dataset = s.dataset AND setting = $split || '/v' || $version AND method = 'kept'
          AND against = 'random' AND metric = 'test loss'
        ORDER BY rowid DESC LIMIT 1) AS settled,
       d.previous, d.flagged_moved, d.kept_moved
FROM store.splits AS s JOIN split_drift AS d USING (split, version)
WHERE split = $split AND version = $version;
