-- The current rows of a dataset whose sample_id begins so, at most two.
SELECT sample_id FROM store.rows
WHERE dataset = $dataset AND retired_at IS NULL AND starts_with(sample_id, $beginning) ORDER BY sample_id LIMIT 2;
