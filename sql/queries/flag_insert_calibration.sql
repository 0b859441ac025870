INSERT INTO store.calibration BY NAME
SELECT stated, measured, high AS measured_high, error AS standard_error, recall, clean AS clean_flagged, rows_flagged, is_explained, trusted_rows,
       $dataset AS dataset, $model_key AS model_key, $reference AS reference, $run_id AS run_id
FROM new_calibration;
