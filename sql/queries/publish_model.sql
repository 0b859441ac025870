SELECT * EXCLUDE (first_used_at, last_used_at) FROM store.models WHERE model_key = $model_key;
