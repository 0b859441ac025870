INSERT INTO store.calibration BY NAME
SELECT stated, measured, error AS standard_error, recall, clean AS clean_flagged,
       $dataset AS dataset, $model_key AS model_key, $reference AS reference, $run_id AS run_id
FROM new_calibration;
