-- Rows that the files no longer hold stay, with their scores, and are seen no more.
UPDATE store.rows SET retired_at = now()
WHERE dataset = $dataset AND retired_at IS NULL AND sample_id NOT IN (SELECT sample_id FROM places);
