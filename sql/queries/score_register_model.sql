INSERT INTO store.models BY NAME
SELECT $model_key AS model_key, $model AS model, $weights AS weights, $adapter AS adapter, $template AS template, $masking AS masking,
       $max_tokens AS max_tokens, $scoring_version AS scoring_version, $settings AS settings, now() AS first_used_at, now() AS last_used_at
ON CONFLICT (model_key) DO UPDATE SET last_used_at = now();
