SELECT content FROM store.fitted
WHERE model_key = $model_key AND reference = $reference AND reference_hash = $reference_hash;
