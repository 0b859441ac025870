SELECT DISTINCT unnest(json_keys(metadata)) AS name FROM store.rows WHERE dataset = $dataset AND retired_at IS NULL ORDER BY 1;
