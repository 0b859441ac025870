SELECT * EXCLUDE (first_used_at) FROM store.models WHERE model_key = $model_key;
