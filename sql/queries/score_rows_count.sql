SELECT count(DISTINCT sample_id) FROM store.rows WHERE dataset IN ($dataset, $reference) AND retired_at IS NULL;
