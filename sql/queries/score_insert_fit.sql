INSERT INTO store.fits
SELECT $run_id, $model_key, $reference, $reference_hash, $reference_rows, $rank, $tokens, $residual, $deviation,
       $index_correlation, $index_pairs, $dtype, $device, now();
