-- Replace the row's own reasons and corrected records, which may quote it.
UPDATE store.split_rows SET reason = 'was to be forgotten: ' || $reason, record = NULL WHERE sample_id = $sample_id;
