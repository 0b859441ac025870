SELECT sample_id FROM store.rows WHERE dataset = $reference AND retired_at IS NULL ORDER BY sample_id;
