DELETE FROM store.fitted WHERE model_key = $model_key AND reference = $reference;
