INSERT INTO store.evaluations
SELECT $unit, $evaluation, $dataset, $model, setting, method, seed, metric, value, $run_id, now() FROM found;
