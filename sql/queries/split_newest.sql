SELECT version, decision_hash, rows_kept, rows_dropped, tokens_kept
FROM store.splits WHERE split = $split ORDER BY version DESC LIMIT 1;
