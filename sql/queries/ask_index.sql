-- The index of a model, with its quality as the last run measured it.
SELECT b.basis, f.dtype, f.index_correlation
FROM store.bases AS b JOIN store.fits AS f USING (model_key)
WHERE model_key = $model_key ORDER BY f.fitted_at DESC LIMIT 1;
