-- Retire rows that the files no longer hold. They stay in the database with their scores, but no view shows them.
UPDATE store.rows SET retired_at = now()
WHERE dataset = $dataset AND retired_at IS NULL AND sample_id NOT IN (SELECT sample_id FROM places);
