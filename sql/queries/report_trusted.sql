SELECT count(*) FROM store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'reference');
