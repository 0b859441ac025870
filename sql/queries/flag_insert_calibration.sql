INSERT INTO store.calibration BY NAME
SELECT *, $dataset AS dataset, $model_key AS model_key, $reference AS reference, $run_id AS run_id FROM trials;
