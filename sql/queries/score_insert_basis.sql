INSERT INTO store.bases VALUES ($model_key, $basis, now(), $run_id);
