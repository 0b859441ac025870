-- The newest version of a split of a dataset.
SELECT version, rows_kept, rows_dropped, tokens_kept, manifest_sha256, run_id
FROM store.splits WHERE split = $split AND dataset = $dataset ORDER BY version DESC LIMIT 1;
