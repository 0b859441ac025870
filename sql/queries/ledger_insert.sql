INSERT INTO store.evaluations BY NAME
SELECT $unit AS unit, $evaluation AS evaluation, $dataset AS dataset, $model AS model, $conditions AS conditions, setting, method,
       seed, metric, value, $run_id AS run_id, now() AS made_at
FROM new_evaluations;
