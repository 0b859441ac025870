-- The dtype in which this model was first used: later runs use the same, so that all scores can be compared.
SELECT dtype FROM store.fits WHERE model_key = $model_key ORDER BY fitted_at LIMIT 1;
