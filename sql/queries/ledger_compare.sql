INSERT INTO store.comparisons BY NAME
SELECT $unit AS unit, $evaluation AS evaluation, $dataset AS dataset, $model AS model, $conditions AS conditions, setting, method,
       against, metric, pairs, difference, low, high, test, p, p_holm, $run_id AS run_id, now() AS made_at
FROM new_comparisons;
