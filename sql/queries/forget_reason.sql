-- A reason may quote the row, and so may the record that a person corrected.
UPDATE store.split_rows SET reason = 'was to be forgotten: ' || $reason, record = NULL WHERE sample_id = $sample_id;
