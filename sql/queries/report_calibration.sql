SELECT stated, measured, standard_error, recall, clean_flagged FROM store.calibration
WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference ORDER BY stated;
