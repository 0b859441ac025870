DELETE FROM store.detectability WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference;
