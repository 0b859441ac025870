DELETE FROM store.calibration WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference;
