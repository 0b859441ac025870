-- The sample_ids that begin with $beginning, at most two.
SELECT DISTINCT sample_id FROM store.rows WHERE starts_with(sample_id, $beginning) AND $beginning <> '' LIMIT 2;
