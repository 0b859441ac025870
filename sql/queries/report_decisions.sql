-- What a version of a split decided about each row to explain.
SELECT sample_id, decision, reason FROM store.split_rows SEMI JOIN rows_to_explain USING (sample_id)
WHERE split = $split AND version = $version;
