INSERT INTO store.fitted VALUES ($model_key, $reference, $reference_hash, $content, now(), $run_id);
