SELECT state FROM vector_rows JOIN store.vectors USING (sample_id) WHERE model_key = $model_key ORDER BY position;
