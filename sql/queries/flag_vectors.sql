-- Index vectors and states, in the order of the requested rows.
SELECT vector, state FROM vector_rows JOIN store.vectors USING (sample_id) WHERE model_key = $model_key ORDER BY position;
