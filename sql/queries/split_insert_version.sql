INSERT INTO store.splits
VALUES ($split, $version, $dataset, $dataset_hash, $reference, $reference_hash, $model_key, $decision_hash,
        $rows_kept, $rows_dropped, $tokens_kept, NULL, NULL, now(), $run_id);
