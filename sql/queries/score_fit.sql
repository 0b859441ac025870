-- The form in which this reference was first used: later runs use the same.
SELECT tokens, rank FROM store.fits
WHERE model_key = $model_key AND reference = $reference AND reference_hash = $reference_hash
ORDER BY fitted_at LIMIT 1;
