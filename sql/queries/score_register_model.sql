INSERT INTO store.models
SELECT $model_key, $model, $weights, $adapter, $template, $masking, $max_tokens, $scoring_version, $settings, now()
WHERE NOT EXISTS (FROM store.models WHERE model_key = $model_key);
