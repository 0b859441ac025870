SELECT stated, measured, standard_error, recall, clean_flagged, measured_high, rows_flagged, is_explained, trusted_rows FROM store.calibration
WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference ORDER BY stated;
