SELECT count(*) FROM store.suspicions
WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference AND role = 'reference';
