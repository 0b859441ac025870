INSERT INTO store.comparisons
SELECT $unit, $evaluation, $dataset, $model, setting, method, against, metric, pairs, difference, low, high, test, p, p_holm, $run_id, now()
FROM compared;
