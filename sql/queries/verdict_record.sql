SELECT record FROM store.rows WHERE dataset = $dataset AND sample_id = $sample_id AND retired_at IS NULL;
