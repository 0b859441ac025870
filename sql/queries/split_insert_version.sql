INSERT INTO store.splits BY NAME
SELECT $split AS split, $version AS version, $dataset AS dataset, $dataset_hash AS dataset_hash, $reference AS reference,
       $reference_hash AS reference_hash, $model_key AS model_key, $decision_hash AS decision_hash,
       $rows_kept AS rows_kept, $rows_dropped AS rows_dropped, $tokens_kept AS tokens_kept, now() AS created_at,
       $run_id AS run_id,
       (SELECT count(DISTINCT sample_id) FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical'))
           AS rows_flagged;
