-- critical: a row without a score cannot be kept or dropped by its value; a few rows may be unscorable, many are a mistake
-- tolerate: 0.05
SELECT r.sample_id, r.dataset,
       format('The row of {} characters has no score against {}: {}.', length(r.prompt) + length(r.answer),
              getvariable('reference'),
              coalesce(u.reason, 'it was not scored yet; run `oresight score CONFIG.yaml`')) AS reason
FROM rows AS r
ANTI JOIN (
    SELECT sample_id FROM store.fresh_scores(getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'))
) AS s ON s.sample_id = r.sample_id
LEFT JOIN (
    SELECT sample_id, any_value(reason) AS reason FROM store.unscorable
    WHERE model_key = getvariable('model_key') GROUP BY sample_id
) AS u ON u.sample_id = r.sample_id
WHERE r.dataset = getvariable('dataset')
