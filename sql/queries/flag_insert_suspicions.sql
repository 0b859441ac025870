INSERT INTO store.suspicions BY NAME
SELECT *, $dataset AS dataset, $model_key AS model_key, $reference AS reference, $reference_hash AS reference_hash, $run_id AS run_id
FROM new_suspicions;
